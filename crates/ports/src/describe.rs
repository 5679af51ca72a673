//! What every consumer can tell of a message, however broken it is.

use contracts::peek;
use contracts::schema::Schema;
use message_worker::Description;

/// What can be told of a body, for logs and failure records.
pub fn describe(body: &str) -> Description {
    let told = peek(body);
    let schema = told.message_type.as_deref().and_then(Schema::find);
    Description {
        correlation_id: told.correlation().map(|id| id.to_string()),
        schema: schema.map(Schema::id),
        schema_hash: schema.map(Schema::hash),
    }
}
