//! Notifications: who hears of what happens in a service. A closed list of seven.

use crate::service::Service;
use engine::{BoxFuture, Contract, Cx, Json, NameRule, Resource, Result, Value, Verbs, json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A notification and its recipients.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NotificationContract {
    /// Title.
    #[contract(read_only)]
    pub title: String,
    /// When it is sent.
    #[contract(read_only)]
    pub description: Option<String>,
    /// Who gets it; edited through `recipientUsers` and `recipientEmails`.
    #[contract(read_only)]
    pub recipients: Json<Recipients>,
}

/// Recipients of a notification.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Recipients {
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Users, by id.
    pub users: Vec<String>,
}

/// The seven notifications.
pub const NAMES: &[&str] = &[
    "RequestPublisherNotificationMessage",
    "PurchasePublisherNotificationMessage",
    "NewApplicationNotificationMessage",
    "BCC",
    "NewIssuePublisherNotificationMessage",
    "AccountClosedPublisher",
    "QuotaLimitApproachingPublisherNotificationMessage",
];

/// Title and description of a notification.
#[must_use]
pub fn described(name: &str) -> Option<(&'static str, &'static str)> {
    if name == "BCC" {
        // No mail of its own: a copy of what the developer gets.
        return Some((
            "BCC",
            "E-mail recipients of this notification get blind copies of all mails to developers, without links and passwords.",
        ));
    }
    mail::template(name).map(|template| (template.title, template.description))
}

/// The kind.
pub struct Notification;

impl Resource for Notification {
    type Parent = Service;
    type Contract = NotificationContract;
    const TITLE: &'static str = "Notification";
    const SEGMENT: &'static str = "notifications";
    const PARAMETER: &'static str = "notificationName";
    const TABLE: &'static str = "notifications";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const IF_MATCH: bool = false;
    const VERBS: Verbs = Verbs {
        get: true,
        create: false,
        put: true,
        patch: false,
        delete: false,
        list: true,
    };

    fn example() -> Value {
        json!({})
    }

    /// PUT has no body; it answers what is there.
    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        old: Option<&'a NotificationContract>,
        new: &'a mut NotificationContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if let Some(old) = old {
                new.clone_from(old);
            }
            Ok(())
        })
    }
}
