//! What travels on the wire: envelope, commands, events, the order request and their JSON Schemas.
