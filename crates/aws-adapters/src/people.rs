//! Notices on an SNS topic that people subscribe to.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use ports::{Notice, People, Unavailable};

/// Publishes notices to one topic.
#[derive(Debug, Clone)]
pub struct SnsPeople {
    client: Client,
    topic_arn: String,
}

impl SnsPeople {
    /// Publishes to this topic.
    pub fn new(client: Client, topic_arn: String) -> Self {
        Self { client, topic_arn }
    }
}

impl People for SnsPeople {
    async fn tell(&self, notice: &Notice) -> Result<(), Unavailable> {
        let unavailable = |source| Unavailable {
            service: "SNS",
            source,
        };
        let kind = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(notice.kind)
            .build()
            .map_err(|error| unavailable(error.into()))?;
        self.client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&notice.subject))
            .message(&notice.text)
            .message_attributes("kind", kind)
            .send()
            .await
            .map_err(|error| unavailable(error.into()))?;
        Ok(())
    }
}

/// SNS takes up to 100 printable ASCII characters as a subject.
fn subject(text: &str) -> String {
    text.chars()
        .filter(|letter| (' '..='~').contains(letter))
        .take(100)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_short_line_of_ascii() {
        assert_eq!(subject("a\nb – c"), "ab  c");
        assert_eq!(subject(&"x".repeat(300)).len(), 100);
    }
}
