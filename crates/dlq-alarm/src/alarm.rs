//! A CloudWatch alarm, as SNS delivers it.

use contracts::JsonFault;
use serde::Deserialize;

/// An alarm that changed its state.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    alarm_name: String,
    new_state_value: String,
    #[serde(default)]
    new_state_reason: String,
    #[serde(default)]
    state_change_time: String,
    #[serde(default)]
    trigger: Trigger,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Trigger {
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// CloudWatch writes these two in lower case, unlike the rest; the emulator does not.
#[derive(Debug, Clone, Deserialize)]
struct Dimension {
    #[serde(alias = "Name")]
    name: String,
    #[serde(alias = "Value")]
    value: String,
}

/// A message on the alarms' topic is not an alarm.
#[derive(Debug, thiserror::Error)]
#[error("the message is not a CloudWatch alarm")]
pub struct UnreadableAlarm(#[source] JsonFault);

impl Alarm {
    /// Reads the message of an SNS record.
    ///
    /// # Errors
    /// [`UnreadableAlarm`] where it is none.
    pub fn parse(message: &str) -> Result<Self, UnreadableAlarm> {
        serde_json::from_str(message).map_err(|error| UnreadableAlarm(error.into()))
    }

    /// The alarm's name.
    pub fn name(&self) -> &str {
        &self.alarm_name
    }

    /// Whether it has gone off, as opposed to having ended.
    pub fn rings(&self) -> bool {
        self.new_state_value == "ALARM"
    }

    /// Why, in CloudWatch's words.
    pub fn reason(&self) -> &str {
        &self.new_state_reason
    }

    /// When it changed, in CloudWatch's words.
    pub fn changed_at(&self) -> &str {
        &self.state_change_time
    }

    /// The queue that it watches, if it watches one.
    pub fn queue_name(&self) -> Option<&str> {
        let dimensions = &self.trigger.dimensions;
        let queue = dimensions
            .iter()
            .find(|dimension| dimension.name == "QueueName");
        queue.map(|dimension| dimension.value.as_str())
    }
}
