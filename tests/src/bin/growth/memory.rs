//! What the functions' processes take.

use std::collections::BTreeMap;
use std::fs;

use waybill_tests::cost::ON_THE_WAY;
use waybill_tests::proxy::Caller;

/// The resident kilobytes of each function's largest process.
pub(crate) fn resident(stack: &str) -> BTreeMap<String, u32> {
    let mut functions = BTreeMap::new();
    for caller in Caller::all(stack) {
        if !ON_THE_WAY.contains(&caller.function.as_str()) {
            continue;
        }
        // A process may end in the meantime.
        let status = fs::read_to_string(format!("/proc/{}/status", caller.process));
        let kilobytes = status
            .ok()
            .and_then(|it| of_status(&it))
            .unwrap_or_default();
        let largest = functions.entry(caller.function).or_insert(0);
        *largest = kilobytes.max(*largest);
    }
    functions
}

fn of_status(status: &str) -> Option<u32> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
