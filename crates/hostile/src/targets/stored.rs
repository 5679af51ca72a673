//! The results that steps leave in their records, which an undo reads.

use contracts::{charge, reservation, shipment};

use super::{Target, Verdict, check_refusal};
use crate::corpus::seeds;

/// Each kind of result reads any of them.
pub(super) const RESULT: Target = Target {
    name: "result",
    seeds: || seeds("result", &[]),
    check: |input| {
        let text = String::from_utf8_lossy(input);
        let rewritten = [
            charge::read(&text).map(|read| (charge::write(&read), 0)),
            reservation::read(&text).map(|read| (reservation::write(&read), 1)),
            shipment::read(&text).map(|read| (shipment::write(&read), 2)),
        ];
        let mut verdict = Verdict::Refused;
        for read in rewritten {
            match read {
                Ok((written, kind)) => {
                    check_reads_back(&written, kind);
                    verdict = Verdict::Accepted;
                }
                Err(why) => check_refusal(&why.to_string()),
            }
        }
        verdict
    },
};

/// What is written of a result is read, and written the same again.
fn check_reads_back(written: &str, kind: usize) {
    let again = match kind {
        0 => charge::read(written).map(|read| charge::write(&read)),
        1 => reservation::read(written).map(|read| reservation::write(&read)),
        _ => shipment::read(written).map(|read| shipment::write(&read)),
    };
    assert_eq!(again.unwrap(), written);
}
