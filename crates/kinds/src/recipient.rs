//! Recipients of a notification: users of the service, and plain e-mail addresses.

use crate::notification::Notification;
use engine::{
    BoxFuture, Contract, Cx, Error, NameRule, Resource, Result, Value, Verbs, json, sqlx,
};
use utoipa::ToSchema;
use uuid::Uuid;

const VERBS: Verbs = Verbs {
    get: false,
    create: true,
    put: true,
    patch: false,
    delete: true,
    list: true,
};

/// A user as recipient.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RecipientUserContract {
    /// The user's row.
    #[contract(internal)]
    pub user_row: Uuid,
    /// Id of the user.
    #[contract(read_only)]
    pub user_id: String,
}

/// The kind of recipients that are users.
pub struct RecipientUser;

impl Resource for RecipientUser {
    type Parent = Notification;
    type Contract = RecipientUserContract;
    const TITLE: &'static str = "NotificationRecipientUser";
    const SEGMENT: &'static str = "recipientUsers";
    const PARAMETER: &'static str = "userId";
    const TABLE: &'static str = "recipient_users";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const IF_MATCH: bool = false;
    const RESTORABLE: bool = false;
    const VERBS: Verbs = VERBS;

    fn example() -> Value {
        json!({})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a RecipientUserContract>,
        new: &'a mut RecipientUserContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let name = cx.name.clone();
            let (row, name) = cx
                .find("users", &name)
                .await?
                .ok_or_else(|| Error::not_found("User"))?;
            new.user_row = row;
            new.user_id = cx.service.id_of("users", &name);
            Ok(())
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a RecipientUserContract>,
        _: &'a RecipientUserContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(summarise(cx, None))
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a RecipientUserContract) -> BoxFuture<'a, Result<()>> {
        let gone = cx.id;
        Box::pin(summarise(cx, Some(gone)))
    }
}

/// An e-mail address as recipient.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RecipientEmailContract {
    /// The address.
    #[contract(read_only)]
    pub email: String,
}

/// The kind of recipients that are addresses.
pub struct RecipientEmail;

impl Resource for RecipientEmail {
    type Parent = Notification;
    type Contract = RecipientEmailContract;
    const TITLE: &'static str = "NotificationRecipientEmail";
    const SEGMENT: &'static str = "recipientEmails";
    const PARAMETER: &'static str = "email";
    const TABLE: &'static str = "recipient_emails";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::Email;
    const IF_MATCH: bool = false;
    const RESTORABLE: bool = false;
    const VERBS: Verbs = VERBS;

    fn example() -> Value {
        json!({})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a RecipientEmailContract>,
        new: &'a mut RecipientEmailContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            mail::mailbox(None, &cx.name)
                .map_err(|e| Error::invalid("email", format!("cannot receive mail: {e}")))?;
            new.email.clone_from(&cx.name);
            Ok(())
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a RecipientEmailContract>,
        _: &'a RecipientEmailContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(summarise(cx, None))
    }

    fn deleting<'a>(
        cx: &'a mut Cx<'_>,
        _: &'a RecipientEmailContract,
    ) -> BoxFuture<'a, Result<()>> {
        let gone = cx.id;
        Box::pin(summarise(cx, Some(gone)))
    }
}

/// Removes a user who is about to go from every notification.
///
/// # Errors
/// When the database fails.
pub(crate) async fn forget(cx: &mut Cx<'_>, user: Uuid) -> Result<()> {
    let notifications: Vec<Uuid> =
        sqlx::query_scalar("DELETE FROM recipient_users WHERE user_row = $1 RETURNING parent_id")
            .bind(user)
            .fetch_all(&mut *cx.conn)
            .await?;
    for notification in notifications {
        show(cx, notification, None).await?;
    }
    Ok(())
}

/// Writes the recipients of all notifications anew where they differ from what is shown.
///
/// # Errors
/// When the database fails.
pub(crate) async fn show_all(cx: &mut Cx<'_>) -> Result<()> {
    let service = cx.service.id;
    let stale: Vec<Uuid> = sqlx::query_scalar(
        "SELECT n.id FROM notifications n WHERE n.parent_id = $1 AND \
           jsonb_array_length(n.recipients->'users') <> (SELECT count(*) FROM recipient_users u WHERE u.parent_id = n.id)",
    )
    .bind(service)
    .fetch_all(&mut *cx.conn)
    .await?;
    for notification in stale {
        show(cx, notification, None).await?;
    }
    Ok(())
}

async fn summarise(cx: &mut Cx<'_>, gone: Option<Uuid>) -> Result<()> {
    let notification = cx.parents.last().copied().unwrap_or_default();
    show(cx, notification, gone).await
}

/// Writes the recipients into the notification, which shows them.
async fn show(cx: &mut Cx<'_>, notification: Uuid, gone: Option<Uuid>) -> Result<()> {
    sqlx::query(
        "UPDATE notifications n SET rev = rev + 1, updated_at = $2, recipients = jsonb_build_object( \
           'emails', coalesce((SELECT jsonb_agg(e.email ORDER BY e.email) FROM recipient_emails e \
                               WHERE e.parent_id = n.id AND e.id IS DISTINCT FROM $3), '[]'), \
           'users', coalesce((SELECT jsonb_agg(u.user_id ORDER BY u.user_id) FROM recipient_users u \
                              WHERE u.parent_id = n.id AND u.id IS DISTINCT FROM $3), '[]')) \
         WHERE n.id = $1",
    )
    .bind(notification)
    .bind(cx.now)
    .bind(gone)
    .execute(&mut *cx.conn)
    .await?;
    cx.changed("notifications", notification);
    Ok(())
}
