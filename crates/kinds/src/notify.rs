//! From events to mails: to the developer through the service's e-mail templates, to the publishers
//! through the notifications' recipients. Every mail is queued in the transaction of the event.

use crate::{subscription::SubscriptionContract, user};
use engine::{Cx, Engine, Error, NameRule, PgConnection, Result, sqlx};
use mail::{Language, Mailbox, NewMail, Rendered, Template, Variables};
use uuid::Uuid;

/// Whether mails can be addressed so; what is stored must be sendable, or a later event would fail on it.
///
/// # Errors
/// A sentence that fits after the wire name of the field.
pub fn check_address(address: &str) -> std::result::Result<(), String> {
    NameRule::Email.check(address)?;
    mail::mailbox(None, address)
        .map(drop)
        .map_err(|e| format!("cannot receive mail: {e}"))
}

/// The custom property of a service that names the language of the texts that come with Portico: `en` or `cs`.
pub const LANGUAGE: &str = "Portico.Mail.Language";

/// The language of a service's mails.
///
/// # Errors
/// When the database fails.
pub async fn language(conn: &mut PgConnection, service: Uuid) -> Result<Language> {
    let code: Option<String> =
        sqlx::query_scalar("SELECT custom_properties->>$2 FROM services WHERE id = $1")
            .bind(service)
            .bind(LANGUAGE)
            .fetch_one(conn)
            .await?;
    Ok(code.as_deref().and_then(Language::of).unwrap_or_default())
}

/// Whom a mail is about.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Developer {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Address.
    pub email: String,
}

impl Developer {
    /// The developer of an account.
    #[must_use]
    pub fn of(user: &user::UserContract) -> Self {
        Self {
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            email: user.email.clone(),
        }
    }

    fn variables(&self, out: &mut Variables) {
        out.insert("DevFirstName".into(), self.first_name.clone().into());
        out.insert("DevLastName".into(), self.last_name.clone().into());
        out.insert("DevEmail".into(), self.email.clone().into());
    }
}

/// What mails say about their service.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Sender {
    name: String,
    publisher_name: String,
    notification_sender_email: Option<String>,
    language: Option<String>,
}

impl Sender {
    pub(crate) async fn of(conn: &mut PgConnection, service: Uuid) -> Result<Self> {
        Ok(sqlx::query_as(
            "SELECT name, publisher_name, notification_sender_email, custom_properties->>$2 AS language FROM services WHERE id = $1",
        )
        .bind(service)
        .bind(LANGUAGE)
        .fetch_one(conn)
        .await?)
    }

    fn language(&self) -> Language {
        self.language
            .as_deref()
            .and_then(Language::of)
            .unwrap_or_default()
    }

    fn render(&self, template: &Template, variables: &Variables) -> Result<Rendered> {
        let language = self.language();
        mail::render(
            template.subject(language),
            template.body(language),
            variables,
        )
        .map_err(Error::internal)
    }

    pub(crate) fn mailbox(&self, engine: &Engine) -> Result<Mailbox> {
        let address = self
            .notification_sender_email
            .as_deref()
            .filter(|a| !a.is_empty());
        mail::mailbox(
            Some(&self.publisher_name),
            address.unwrap_or(&engine.settings().mail_sender),
        )
        .map_err(Error::internal)
    }

    pub(crate) fn variables(&self, engine: &Engine, out: &mut Variables) {
        let portal = engine.settings().portal_url(&self.name);
        let host = portal
            .split_once("://")
            .map_or("", |(_, rest)| rest)
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        out.insert(
            "OrganizationName".into(),
            self.publisher_name.clone().into(),
        );
        out.insert("ServiceName".into(), self.name.clone().into());
        out.insert("DevPortalUrl".into(), portal.into());
        out.insert("DevPortalHost".into(), host.into());
        out.insert(
            "ManagementUrl".into(),
            engine.settings().management_url.clone().into(),
        );
    }
}

/// Variables that open something for whoever reads them, and what copies say instead.
const CONFIDENTIAL: [(&str, &str); 3] = [
    ("ConfirmQuery", ""),
    ("DevPassword", "********"),
    ("SubPrimaryKey", "********"),
];

/// Sends a developer the mail of one of the service's templates, and blind copies to the recipients of `BCC`, in
/// which links, passwords and keys are hidden.
///
/// # Errors
/// When the database fails, or a stored template cannot be rendered.
pub async fn developer(
    cx: &mut Cx<'_>,
    template: &str,
    developer: &Developer,
    mut variables: Variables,
) -> Result<()> {
    let service = cx.service.id;
    let sender = Sender::of(cx.conn.open().await?, service).await?;
    sender.variables(cx.engine, &mut variables);
    developer.variables(&mut variables);
    let stored: Option<(String, String)> = sqlx::query_as(
        "SELECT subject, body FROM templates WHERE parent_id = $1 AND lower(name) = lower($2)",
    )
    .bind(service)
    .bind(template)
    .fetch_optional(&mut *cx.conn)
    .await?;
    let (subject, body) = match stored {
        Some(texts) => texts,
        None => {
            let default = mail::template(template)
                .ok_or_else(|| Error::internal(format!("no template {template}")))?;
            let language = sender.language();
            (
                default.subject(language).to_owned(),
                default.body(language).to_owned(),
            )
        }
    };
    let content = mail::render(&subject, &body, &variables).map_err(Error::internal)?;
    let name = format!("{} {}", developer.first_name, developer.last_name);
    let recipient = mail::mailbox(Some(&name), &developer.email).map_err(Error::internal)?;
    let from = sender.mailbox(cx.engine)?;
    let mut mails = vec![NewMail {
        service_id: Some(service),
        template: template.to_owned(),
        sender: from.clone(),
        recipient: recipient.clone(),
        shown_recipient: None,
        content,
        max_attempts: None,
    }];
    let copies = recipients(cx.conn.open().await?, service, "BCC").await?;
    if !copies.is_empty() {
        for (name, hidden) in CONFIDENTIAL {
            if variables.contains_key(name) {
                variables.insert(name.into(), hidden.into());
            }
        }
        if variables.contains_key("ConfirmUrl") {
            let portal = cx.engine.settings().portal_url(&cx.service.name);
            variables.insert("ConfirmUrl".into(), portal.into());
        }
        let content = mail::render(&subject, &body, &variables).map_err(Error::internal)?;
        for address in copies {
            // Who gets the mail needs no copy of it.
            if address.eq_ignore_ascii_case(&developer.email) {
                continue;
            }
            mails.push(NewMail {
                service_id: Some(service),
                template: "BCC".to_owned(),
                sender: from.clone(),
                recipient: mail::mailbox(None, &address).map_err(Error::internal)?,
                shown_recipient: Some(recipient.clone()),
                content: content.clone(),
                max_attempts: None,
            });
        }
    }
    mail::queue_all(cx.conn.open().await?, mails)
        .await
        .map_err(Error::internal)?;
    Ok(())
}

/// Addresses of a notification's recipients, each once.
async fn recipients(
    conn: &mut PgConnection,
    service: Uuid,
    notification: &str,
) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT DISTINCT lower(address) FROM ( \
           SELECT e.email AS address FROM recipient_emails e JOIN notifications n ON n.id = e.parent_id \
             WHERE n.parent_id = $1 AND n.name = $2 \
           UNION ALL SELECT u.email FROM recipient_users r JOIN notifications n ON n.id = r.parent_id \
             JOIN users u ON u.id = r.user_row WHERE n.parent_id = $1 AND n.name = $2 \
         ) addresses ORDER BY 1",
    )
    .bind(service)
    .bind(notification)
    .fetch_all(conn)
    .await?)
}

/// Sends the mail of a notification to each of its recipients.
///
/// # Errors
/// When the database fails.
pub async fn publishers(
    cx: &mut Cx<'_>,
    notification: &str,
    developer: &Developer,
    mut variables: Variables,
) -> Result<()> {
    let service = cx.service.id;
    let recipients = recipients(cx.conn.open().await?, service, notification).await?;
    if recipients.is_empty() {
        return Ok(());
    }
    let template = mail::template(notification)
        .ok_or_else(|| Error::internal(format!("no template {notification}")))?;
    let sender = Sender::of(cx.conn.open().await?, service).await?;
    sender.variables(cx.engine, &mut variables);
    developer.variables(&mut variables);
    let content = sender.render(template, &variables)?;
    let from = sender.mailbox(cx.engine)?;
    // One mail per recipient, so that each has its own delivery status and none sees the others.
    let mails = recipients
        .into_iter()
        .map(|address| {
            Ok(NewMail {
                service_id: Some(service),
                template: notification.to_owned(),
                sender: from.clone(),
                recipient: mail::mailbox(None, &address).map_err(Error::internal)?,
                shown_recipient: None,
                content: content.clone(),
                max_attempts: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    mail::queue_all(cx.conn.open().await?, mails)
        .await
        .map_err(Error::internal)?;
    Ok(())
}

/// Whether the request asks for no mails (contract: parameter `notify`).
fn is_silent(cx: &Cx<'_>) -> bool {
    cx.query
        .value("notify")
        .is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

async fn developer_of(cx: &mut Cx<'_>, user: Uuid) -> Result<Option<Developer>> {
    Ok(
        sqlx::query_as("SELECT first_name, last_name, email FROM users WHERE id = $1")
            .bind(user)
            .fetch_optional(&mut *cx.conn)
            .await?,
    )
}

/// An issue that mails are about.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Name in its id.
    pub name: String,
    /// Title.
    pub title: String,
    /// The user who reported it.
    pub author: Uuid,
}

impl Issue {
    fn variables(&self, text: &str) -> Variables {
        let mut out = Variables::new();
        out.insert("IssueId".into(), self.name.clone().into());
        out.insert("IssueName".into(), self.title.clone().into());
        out.insert("IssueText".into(), text.into());
        out
    }
}

/// An issue was reported: its author gets a receipt, the publishers are told.
///
/// # Errors
/// As [`developer`].
pub async fn issue_reported(cx: &mut Cx<'_>, issue: &Issue, text: &str) -> Result<()> {
    let Some(author) = developer_of(cx, issue.author)
        .await?
        .filter(|_| !is_silent(cx))
    else {
        return Ok(());
    };
    let variables = issue.variables(text);
    developer(
        cx,
        "newIssueNotificationMessage",
        &author,
        variables.clone(),
    )
    .await?;
    publishers(
        cx,
        "NewIssuePublisherNotificationMessage",
        &author,
        variables,
    )
    .await
}

/// Somebody commented on an issue: its author hears of it, unless it is he, and so do the publishers.
///
/// # Errors
/// As [`developer`].
pub async fn issue_commented(
    cx: &mut Cx<'_>,
    issue: &Issue,
    commenter: Uuid,
    text: &str,
) -> Result<()> {
    if is_silent(cx) {
        return Ok(());
    }
    let variables = issue.variables(text);
    if commenter != issue.author
        && let Some(author) = developer_of(cx, issue.author).await?
    {
        developer(
            cx,
            "newCommentNotificationMessage",
            &author,
            variables.clone(),
        )
        .await?;
    }
    match developer_of(cx, commenter).await? {
        Some(commenter) => {
            publishers(
                cx,
                "NewIssuePublisherNotificationMessage",
                &commenter,
                variables,
            )
            .await
        }
        None => Ok(()),
    }
}

/// A key of a subscription was replaced, `primary` or `secondary`: its owner should know, whoever did it.
///
/// # Errors
/// When the database fails.
pub async fn key_regenerated(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
    which: &'static str,
) -> Result<()> {
    if is_silent(cx) {
        return Ok(());
    }
    let Some((to, mut variables)) = about(cx, subscription).await? else {
        return Ok(());
    };
    let czech = language(cx.conn.open().await?, cx.service.id).await? == Language::Czech;
    let key = match (which, czech) {
        ("primary", true) => "primární",
        (_, true) => "sekundární",
        (which, false) => which,
    };
    variables.insert("KeyName".into(), key.into());
    developer(cx, "key_regenerated", &to, variables).await
}

/// A mail with a link that proves that its reader has the address.
///
/// # Errors
/// As [`developer`].
pub async fn confirm(cx: &mut Cx<'_>, template: &str, to: &Developer) -> Result<()> {
    let ticket = user::ticket(cx, template, &to.email).await?;
    let portal = cx.engine.settings().portal_url(&cx.service.name);
    let query = format!("?ticket={ticket}");
    let mut variables = Variables::new();
    variables.insert(
        "ConfirmUrl".into(),
        format!("{portal}/confirm{query}").into(),
    );
    variables.insert("ConfirmQuery".into(), query.into());
    developer(cx, template, to, variables).await
}

/// The owner and the variables of a subscription; `None` for one without an owner.
async fn about(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
) -> Result<Option<(Developer, Variables)>> {
    let Some(owner) = subscription.owner_id.as_ref().and_then(|owner| owner.id) else {
        return Ok(None);
    };
    let developer = developer_of(cx, owner).await?;
    let Some(developer) = developer else {
        return Ok(None);
    };
    let product: Option<(String, String)> = match subscription.scope_product_id {
        Some(id) => {
            sqlx::query_as("SELECT name, display_name FROM products WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *cx.conn)
                .await?
        }
        None => None,
    };
    let scope = || {
        (
            subscription.scope.trim_start_matches('/').to_owned(),
            "all APIs".to_owned(),
        )
    };
    let (id, name) = match product {
        Some(product) => product,
        None => match subscription.scope_api_id {
            Some(api) => sqlx::query_as(
                "SELECT name, display_name FROM apis WHERE root_id = $1 AND is_current",
            )
            .bind(api)
            .fetch_optional(&mut *cx.conn)
            .await?
            .unwrap_or_else(scope),
            None => scope(),
        },
    };
    let mut variables = Variables::new();
    variables.insert("ProdId".into(), id.into());
    variables.insert("ProdName".into(), name.into());
    variables.insert("SubId".into(), cx.name.clone().into());
    let start = subscription
        .start_date
        .unwrap_or(cx.now)
        .format("%Y-%m-%d")
        .to_string();
    variables.insert("SubStartDate".into(), start.into());
    let term = subscription.expiration_date.map_or_else(
        || "unlimited".to_owned(),
        |end| format!("until {}", end.format("%Y-%m-%d")),
    );
    variables.insert("SubTerm".into(), term.into());
    Ok(Some((developer, variables)))
}

/// A subscription waits for approval: the developer is told so, the publishers are asked.
///
/// # Errors
/// As [`developer`].
pub async fn subscription_requested(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
) -> Result<()> {
    let Some((to, variables)) = about(cx, subscription).await? else {
        return Ok(());
    };
    developer(
        cx,
        "requestDeveloperNotificationMessage",
        &to,
        variables.clone(),
    )
    .await?;
    publishers(cx, "RequestPublisherNotificationMessage", &to, variables).await
}

/// A subscription became active.
///
/// # Errors
/// As [`developer`].
pub async fn subscription_active(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
) -> Result<()> {
    let Some((to, variables)) = about(cx, subscription).await? else {
        return Ok(());
    };
    let mut own = variables.clone();
    own.insert(
        "SubPrimaryKey".into(),
        subscription.primary_key.expose().into(),
    );
    developer(cx, "purchaseDeveloperNotificationMessage", &to, own).await?;
    publishers(cx, "PurchasePublisherNotificationMessage", &to, variables).await
}

/// A subscription was declined.
///
/// # Errors
/// As [`developer`].
pub async fn subscription_declined(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
) -> Result<()> {
    let Some((to, mut variables)) = about(cx, subscription).await? else {
        return Ok(());
    };
    variables.insert(
        "SubDeclineReason".into(),
        subscription
            .state_comment
            .clone()
            .unwrap_or_default()
            .into(),
    );
    developer(cx, "rejectDeveloperNotificationMessage", &to, variables).await
}

/// The administrator's welcome mail of a new service; called by the activation job.
///
/// # Errors
/// When the database fails.
pub async fn service_activated(
    engine: &Engine,
    conn: &mut PgConnection,
    service: Uuid,
) -> Result<()> {
    let sender = Sender::of(conn, service).await?;
    let (email, gateway): (String, Option<String>) =
        sqlx::query_as("SELECT publisher_email, gateway_url FROM services WHERE id = $1")
            .bind(service)
            .fetch_one(&mut *conn)
            .await?;
    let template = mail::template("service_activated")
        .ok_or_else(|| Error::internal("no template service_activated"))?;
    let mut variables = Variables::new();
    sender.variables(engine, &mut variables);
    variables.insert("AdminName".into(), "Administrator".into());
    variables.insert("GatewayUrl".into(), gateway.unwrap_or_default().into());
    let content = sender.render(template, &variables)?;
    let mail = NewMail {
        service_id: Some(service),
        template: template.name.to_owned(),
        sender: sender.mailbox(engine)?,
        recipient: mail::mailbox(None, &email).map_err(Error::internal)?,
        shown_recipient: None,
        content,
        max_attempts: None,
    };
    mail::queue(conn, mail).await.map_err(Error::internal)?;
    Ok(())
}
