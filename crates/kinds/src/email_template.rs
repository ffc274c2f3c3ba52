//! E-mail templates: the texts of the fourteen mails to developers, each with a default.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Delete, Error, Filter, Json, NameRule, Resource, Result, Value, Verbs,
    Violations, json,
};
use mail::{Language, Part, TEMPLATES};
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
    const DELETE: Delete<EmailTemplateContract> = Delete::Reset(default);

    fn example() -> Value {
        json!({"subject": "Welcome to $OrganizationName", "body": "<p>Hello $DevFirstName $DevLastName</p>"})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a EmailTemplateContract>,
        new: &'a mut EmailTemplateContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let fallback = default(&cx.name).ok_or_else(|| Error::not_found("Template"))?;
            let template = mail::template(&cx.name).ok_or_else(|| Error::not_found("Template"))?;
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
            let mut known = template.parameter_names();
            let own: Vec<String> = new
                .parameters
                .iter()
                .flat_map(|Json(p)| p)
                .filter_map(|p| p.name.clone())
                .collect();
            known.extend(own.iter().map(String::as_str));
            let mut violations = Violations::default();
            for problem in mail::check(&new.subject, &new.body, &known) {
                let field = match problem.part {
                    Part::Subject => "subject",
                    Part::Body => "body",
                };
                violations.add(
                    field,
                    format!("is wrong in line {}: {}", problem.line, problem.message),
                );
            }
            violations.into_result()
        })
    }
}

/// The template as it comes with a service.
#[must_use]
pub fn default(name: &str) -> Option<EmailTemplateContract> {
    let template = TEMPLATES
        .iter()
        .find(|t| t.name.eq_ignore_ascii_case(name))?;
    Some(EmailTemplateContract {
        subject: template.subject(Language::English).to_owned(),
        body: template.body(Language::English).to_owned(),
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
        assert!(NAMES.iter().all(|name| default(name).is_some()));
    }
}
