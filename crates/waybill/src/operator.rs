//! Who is at the keyboard, as history entries name them.

use crate::deployment::Deployment;
use crate::failure::Failure;

/// The identity that AWS knows, and the local user's name, which tells people apart
/// who share a role: `arn:aws:sts::123456789012:assumed-role/ops/ada (ada)`.
///
/// # Errors
/// [`Failure`], where AWS does not say who it is. `sts:GetCallerIdentity` needs no permission.
pub(crate) async fn operator(deployment: &Deployment) -> Result<String, Failure> {
    let sts = aws_sdk_sts::Client::new(deployment.config());
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| Failure::from_sdk("sts:GetCallerIdentity", error))?;
    let arn = identity.arn.unwrap_or_else(|| "unknown".to_owned());
    Ok(named(&arn, local_user().as_deref()))
}

fn named(arn: &str, user: Option<&str>) -> String {
    match user {
        Some(user) => format!("{arn} ({user})"),
        None => arn.to_owned(),
    }
}

/// What may be written into a record: a name, and no more than that.
fn local_user() -> Option<String> {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))?;
    Some(
        user.chars()
            .filter(|letter| !letter.is_control())
            .take(64)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_who_share_a_role_are_told_apart() {
        assert_eq!(
            named("arn:aws:iam::1:role/ops", Some("ada")),
            "arn:aws:iam::1:role/ops (ada)"
        );
        assert_eq!(
            named("arn:aws:iam::1:role/ops", None),
            "arn:aws:iam::1:role/ops"
        );
    }
}
