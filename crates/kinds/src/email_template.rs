//! E-mail templates: the texts of the fourteen mails to developers, each with a default.

use crate::{notify, service::Service};
use engine::{
    Access, Action, ActionDetail, BoxFuture, Contract, Cx, Delete, Entity, Error, Filter, Json,
    Map, NameRule, Reply, Resource, Result, Value, Verbs, Violations, json, sqlx, typed,
};
use mail::{Language, NewMail, Part, Rendered, TEMPLATES, Variables};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An e-mail template.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct EmailTemplateContract {
    /// Subject, with `$Variables`.
    #[contract(default = String::new(), kept, length(1..=1000))]
    pub subject: String,
    /// HTML body, with `$Variables`, `#if` and `#foreach`.
    #[contract(default = String::new(), kept, length(1..))]
    pub body: String,
    /// Title.
    pub title: Option<String>,
    /// When the mail is sent.
    pub description: Option<String>,
    /// Whether the texts are the ones that came with the service.
    #[contract(read_only)]
    pub is_default: bool,
    /// Variables that the texts may use.
    pub parameters: Option<Json<Vec<Parameter>>>,
}

/// A variable of a template.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Parameter {
    /// Name, without the dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Names of the fourteen, as replies spell them; URLs match without regard to case.
const NAMES: &[&str] = &[
    "AccountClosedDeveloper",
    "ApplicationApprovedNotificationMessage",
    "ConfirmSignUpIdentityDefault",
    "EmailChangeIdentityDefault",
    "InviteUserNotificationMessage",
    "NewCommentNotificationMessage",
    "NewDeveloperNotificationMessage",
    "NewIssueNotificationMessage",
    "PasswordResetByAdminNotificationMessage",
    "PasswordResetIdentityDefault",
    "PurchaseDeveloperNotificationMessage",
    "QuotaLimitApproachingDeveloperNotificationMessage",
    "RejectDeveloperNotificationMessage",
    "RequestDeveloperNotificationMessage",
];

/// The kind.
pub struct EmailTemplate;

impl Resource for EmailTemplate {
    type Parent = Service;
    type Contract = EmailTemplateContract;
    const TITLE: &'static str = "EmailTemplate";
    const NOUN: &'static str = "Template";
    const SEGMENT: &'static str = "templates";
    const PARAMETER: &'static str = "templateName";
    const TABLE: &'static str = "templates";
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const VERBS: Verbs = Verbs::ALL;
    const FILTERS: &'static [Filter] = &[Filter::name()];
    /// Back to the text that came with the service, in its language.
    const DELETE: Delete = Delete::Hook;
    const RESTORABLE: bool = false;
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "preview",
            operation: "EmailTemplate_Preview",
            summary: "Renders the stored texts, or a draft of them, with sample data. Nothing is stored or sent.",
            access: Access::Read,
            status: 200,
            run: |cx, stored| Box::pin(preview(cx, stored)),
        },
        Action {
            name: "send",
            operation: "EmailTemplate_SendTest",
            summary: "Sends the stored texts, or a draft of them, with sample data to an address. Nothing is stored but the mail.",
            access: Access::Write,
            status: 200,
            run: |cx, stored| Box::pin(send_test(cx, stored)),
        },
    ];
    const ACTION_DETAILS: &'static [ActionDetail] = &[
        ActionDetail {
            operation: "EmailTemplate_Preview",
            parameters: Vec::new,
            body: Some(|| draft_schema(false)),
            reply: || {
                json!({"type": "object", "properties": {
                    "subject": {"type": "string"},
                    "html": {"type": "string", "description": "Body as HTML."},
                    "text": {"type": "string", "description": "Body for programs that show no HTML."},
                }})
            },
        },
        ActionDetail {
            operation: "EmailTemplate_SendTest",
            parameters: Vec::new,
            body: Some(|| draft_schema(true)),
            reply: || json!({"type": "object", "properties": {"mail": {"type": "string", "description": "Id of the mail in the outbox."}}}),
        },
    ];

    fn example() -> Value {
        json!({"subject": "Welcome to $OrganizationName", "body": "<p>Hello $DevFirstName $DevLastName</p>"})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a EmailTemplateContract>,
        new: &'a mut EmailTemplateContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let language = notify::language(cx.conn.open().await?, cx.service.id).await?;
            let fallback =
                default(&cx.name, language).ok_or_else(|| Error::not_found("Template"))?;
            if new.subject.is_empty() {
                new.subject = old.map_or(fallback.subject, |old| old.subject.clone());
            }
            if new.body.is_empty() {
                new.body = old.map_or(fallback.body, |old| old.body.clone());
            }
            new.title = new.title.take().or(fallback.title);
            new.description = new.description.take().or(fallback.description);
            new.parameters = new.parameters.take().or(fallback.parameters);
            new.is_default = false;
            let violations = problems(&cx.name, &new.subject, &new.body, new.parameters.as_ref());
            violations.into_result()
        })
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a EmailTemplateContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let language = notify::language(cx.conn.open().await?, cx.service.id).await?;
            let (id, name) = (cx.id, cx.name.clone());
            reset(cx, id, &name, language).await
        })
    }
}

/// What the texts may not contain, by wire field.
fn problems(
    name: &str,
    subject: &str,
    body: &str,
    parameters: Option<&Json<Vec<Parameter>>>,
) -> Violations {
    let mut known = mail::template(name).map_or_else(Vec::new, mail::Template::parameter_names);
    known.extend(
        parameters
            .iter()
            .flat_map(|Json(p)| p)
            .filter_map(|p| p.name.as_deref()),
    );
    let mut violations = Violations::default();
    for problem in mail::check(subject, body, &known) {
        let field = match problem.part {
            Part::Subject => "subject",
            Part::Body => "body",
        };
        violations.add(
            field,
            format!("is wrong in line {}: {}", problem.line, problem.message),
        );
    }
    violations
}

/// Writes the default of a language into a row.
async fn reset(cx: &mut Cx<'_>, id: uuid::Uuid, name: &str, language: Language) -> Result<()> {
    let fallback = default(name, language).ok_or_else(|| Error::not_found("Template"))?;
    sqlx::query(
        "UPDATE templates SET rev = rev + 1, updated_at = $2, subject = $3, body = $4, title = $5, description = $6, \
         is_default = true, parameters = $7 WHERE id = $1",
    )
    .bind(id)
    .bind(cx.now)
    .bind(fallback.subject)
    .bind(fallback.body)
    .bind(fallback.title)
    .bind(fallback.description)
    .bind(sqlx::types::Json(fallback.parameters))
    .execute(&mut *cx.conn)
    .await?;
    Ok(())
}

/// Brings the templates that nobody changed into the service's language.
///
/// # Errors
/// When the database fails.
pub(crate) async fn translate(cx: &mut Cx<'_>) -> Result<()> {
    let language = notify::language(cx.conn.open().await?, cx.service.id).await?;
    let stored: Vec<(uuid::Uuid, String, String)> =
        sqlx::query_as("SELECT id, name, body FROM templates WHERE parent_id = $1 AND is_default")
            .bind(cx.service.id)
            .fetch_all(&mut *cx.conn)
            .await?;
    for (id, name, body) in stored {
        let other = default(&name, language).is_some_and(|default| default.body != body);
        if other {
            reset(cx, id, &name, language).await?;
            cx.changed("templates", id);
        }
    }
    Ok(())
}

fn draft_schema(addressed: bool) -> Value {
    let mut properties = json!({
        "subject": {"type": "string", "description": "Instead of the stored subject."},
        "body": {"type": "string", "description": "Instead of the stored body."},
        "language": {"type": "string", "enum": ["en", "cs"], "description": "The default texts of this language instead of the stored ones."},
        "parameters": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Values of variables instead of the samples."},
    });
    if addressed {
        properties["to"] =
            json!({"type": "string", "format": "email", "description": "Who gets the mail."});
        json!({"type": "object", "required": ["to"], "properties": properties})
    } else {
        json!({"type": "object", "properties": properties})
    }
}

/// The body of `preview` and `send`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Draft {
    subject: Option<String>,
    body: Option<String>,
    language: Option<String>,
    parameters: Map<String, Value>,
    to: Option<String>,
}

/// Reads the draft and renders it with sample data.
async fn rendered(cx: &mut Cx<'_>, stored: &EmailTemplateContract) -> Result<(Rendered, Draft)> {
    let given = Value::Object(match cx.body.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => std::mem::take(&mut cx.body),
    });
    let draft: Draft = serde_json::from_value(given)
        .map_err(|e| Error::Malformed(format!("The request content was invalid: {e}")))?;
    let (mut subject, mut body) = (stored.subject.clone(), stored.body.clone());
    if let Some(code) = &draft.language {
        let language =
            Language::of(code).ok_or_else(|| Error::invalid("language", "must be en or cs"))?;
        let texts = default(&cx.name, language).ok_or_else(|| Error::not_found("Template"))?;
        (subject, body) = (texts.subject, texts.body);
    }
    subject = draft.subject.clone().unwrap_or(subject);
    body = draft.body.clone().unwrap_or(body);
    let mut violations = problems(&cx.name, &subject, &body, stored.parameters.as_ref());
    if subject.trim().is_empty() {
        violations.add("subject", "must not be empty");
    }
    if body.trim().is_empty() {
        violations.add("body", "must not be empty");
    }
    for (name, value) in &draft.parameters {
        if !value.is_string() {
            violations.add(format!("parameters.{name}"), "must be a text");
        }
    }
    violations.into_result()?;
    let mut variables = Variables::new();
    for Parameter { name, title, .. } in stored.parameters.iter().flat_map(|Json(p)| p) {
        if let Some(name) = name {
            let sample = title.clone().unwrap_or_else(|| name.clone());
            variables.insert(name.clone(), sample.into());
        }
    }
    for parameter in mail::template(&cx.name).map_or(&[][..], |template| template.parameters) {
        variables.insert(parameter.name.to_owned(), parameter.sample.into());
    }
    // Name and addresses are the service's own.
    notify::Sender::of(cx.conn.open().await?, cx.service.id)
        .await?
        .variables(cx.engine, &mut variables);
    variables.extend(draft.parameters.clone());
    let content = mail::render(&subject, &body, &variables)
        .map_err(|e| Error::invalid("body", format!("cannot be rendered: {e}")))?;
    Ok((content, draft))
}

async fn preview(cx: &mut Cx<'_>, stored: &dyn Entity) -> Result<Reply> {
    let (content, draft) = rendered(cx, typed(stored)?).await?;
    if draft.to.is_some() {
        return Err(Error::invalid("to", "belongs to the action send"));
    }
    Ok(Reply::ok(
        json!({"subject": content.subject, "html": content.html, "text": content.text}),
    ))
}

async fn send_test(cx: &mut Cx<'_>, stored: &dyn Entity) -> Result<Reply> {
    let (content, draft) = rendered(cx, typed(stored)?).await?;
    let to = draft
        .to
        .ok_or_else(|| Error::invalid("to", "is required"))?;
    notify::check_address(&to).map_err(|why| Error::invalid("to", why))?;
    let sender = notify::Sender::of(cx.conn.open().await?, cx.service.id).await?;
    let mail = NewMail {
        service_id: Some(cx.service.id),
        template: cx.name.clone(),
        sender: sender.mailbox(cx.engine)?,
        recipient: mail::mailbox(None, &to).map_err(|e| Error::invalid("to", e.to_string()))?,
        shown_recipient: None,
        content,
        max_attempts: None,
    };
    let id = mail::queue(cx.conn.open().await?, mail)
        .await
        .map_err(Error::internal)?;
    Ok(Reply::ok(
        json!({"mail": format!("{}/mails/{id}", cx.service.path)}),
    ))
}

/// The template as it comes with a service of this language.
#[must_use]
pub fn default(name: &str, language: Language) -> Option<EmailTemplateContract> {
    let template = TEMPLATES
        .iter()
        .find(|t| t.name.eq_ignore_ascii_case(name))?;
    Some(EmailTemplateContract {
        subject: template.subject(language).to_owned(),
        body: template.body(language).to_owned(),
        title: Some(template.title.to_owned()),
        description: Some(template.description.to_owned()),
        is_default: true,
        parameters: Some(Json(
            template
                .parameters
                .iter()
                .map(|p| Parameter {
                    name: Some(p.name.to_owned()),
                    title: Some(p.title.to_owned()),
                    description: None,
                })
                .collect(),
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::{NAMES, default};

    #[test]
    fn the_names_are_those_of_the_mail_catalogue() {
        let catalogue: Vec<String> = mail::TEMPLATES
            .iter()
            .map(mail::Template::contract_name)
            .collect();
        assert_eq!(catalogue, NAMES);
        assert!(
            NAMES
                .iter()
                .all(|name| default(name, mail::Language::Czech).is_some())
        );
    }
}
