//! The list of prices.

use std::path::Path;

use serde_json::Value;

/// Prices of one region at one date.
#[derive(Debug)]
pub(crate) struct Prices(Value);

impl Prices {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(serde_json::from_str(&text).expect("prices are JSON"))
    }

    /// Dollars for one of what is counted.
    pub(crate) fn of(&self, name: &str) -> f64 {
        let price = &self.0["prices"][name];
        let parts = (price["dollars"].as_f64(), price["per"].as_f64());
        match parts {
            (Some(dollars), Some(per)) => dollars / per,
            _ => panic!("there is no price of {name}"),
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name]
            .as_str()
            .unwrap_or_else(|| panic!("the prices have no {name}"))
    }
}
