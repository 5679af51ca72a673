//! The event source mappings of the consumers.

use std::collections::HashMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::ScalingConfig;
use circuit::{Mapping, Mappings, Switch, Wanted};
use ports::Unavailable;

const SERVICE: &str = "Lambda";

/// Looks at mappings and changes them.
#[derive(Debug, Clone)]
pub struct LambdaMappings {
    client: Client,
    ids: HashMap<String, String>,
}

impl LambdaMappings {
    /// The mappings' ids, by consumer.
    pub fn new(client: Client, ids: HashMap<String, String>) -> Self {
        Self { client, ids }
    }

    fn id(&self, consumer: &str) -> Result<&str, Unavailable> {
        let id = self.ids.get(consumer).map(String::as_str);
        id.ok_or_else(|| Unavailable::new(SERVICE, format!("no mapping is known for {consumer}")))
    }
}

impl Mappings for LambdaMappings {
    async fn look(&self, consumer: &str) -> Result<Mapping, Unavailable> {
        let found = self
            .client
            .get_event_source_mapping()
            .uuid(self.id(consumer)?)
            .send()
            .await
            .map_err(|error| Unavailable::new(SERVICE, error))?;
        let concurrency = found
            .scaling_config
            .and_then(|scaling| scaling.maximum_concurrency)
            .and_then(|concurrency| u32::try_from(concurrency).ok());
        Ok(Mapping {
            switch: switch(found.state.as_deref().unwrap_or_default()),
            concurrency,
        })
    }

    async fn set(&self, consumer: &str, wanted: Wanted) -> Result<(), Unavailable> {
        let update = self
            .client
            .update_event_source_mapping()
            .uuid(self.id(consumer)?);
        let update = match wanted {
            // The concurrency stays as it is.
            Wanted::Disabled => update.enabled(false),
            Wanted::Enabled(concurrency) => {
                let limit = i32::try_from(concurrency).unwrap_or(i32::MAX);
                let scaling = ScalingConfig::builder().maximum_concurrency(limit).build();
                update.enabled(true).scaling_config(scaling)
            }
        };
        update
            .send()
            .await
            .map_err(|error| Unavailable::new(SERVICE, error))?;
        Ok(())
    }
}

/// `Creating`, `Enabling`, `Disabling`, `Updating` and `Deleting` are on the way.
fn switch(state: &str) -> Switch {
    match state {
        "Enabled" => Switch::Enabled,
        "Disabled" => Switch::Disabled,
        _ => Switch::Changing,
    }
}
