//! The closed list of templates. Their texts lie in `templates/<name>/` (English) and `templates/cs/<name>/`.

/// Languages of the texts that come with Portico.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Czech.
    Czech,
}

impl Language {
    /// The language of a code: `en` or `cs`.
    pub fn of(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "cs" => Some(Self::Czech),
            _ => None,
        }
    }
}

/// A variable of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name, without the dollar.
    pub name: &'static str,
    /// What it is, for authors of templates.
    pub title: &'static str,
    /// A value for previews and tests.
    pub sample: &'static str,
}

/// One kind of mail.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    /// Name in the URL: camelCase for the contract's templates; for notifications the notification's name.
    pub name: &'static str,
    /// Title, as the contract has it.
    pub title: &'static str,
    /// When it is sent.
    pub description: &'static str,
    /// Variables it may use.
    pub parameters: &'static [Parameter],
    english: (&'static str, &'static str),
    czech: (&'static str, &'static str),
}

impl Template {
    /// The name in responses, where the contract capitalises it.
    pub fn contract_name(&self) -> String {
        let (first, rest) = self.name.split_at(1);
        first.to_ascii_uppercase() + rest
    }

    /// Subject in the contract's template syntax.
    pub fn subject(&self, language: Language) -> &'static str {
        self.text(language).0.trim_end()
    }

    /// HTML body in the contract's template syntax.
    pub fn body(&self, language: Language) -> &'static str {
        self.text(language).1
    }

    fn text(&self, language: Language) -> (&'static str, &'static str) {
        match language {
            Language::English => self.english,
            Language::Czech => self.czech,
        }
    }

    /// Names of the variables, for [`crate::check`].
    pub fn parameter_names(&self) -> Vec<&'static str> {
        self.parameters
            .iter()
            .map(|parameter| parameter.name)
            .collect()
    }
}

/// A template or notification mail by name; upper and lower case are the same, as in URLs.
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES
        .iter()
        .chain(SYSTEM_TEMPLATES)
        .find(|template| template.name.eq_ignore_ascii_case(name))
}

const fn parameter(name: &'static str, title: &'static str, sample: &'static str) -> Parameter {
    Parameter {
        name,
        title,
        sample,
    }
}

const ADMIN_NAME: Parameter = parameter("AdminName", "Administrator name", "Eva Admin");
const APP_ID: Parameter = parameter("AppId", "Application id", "42");
const APP_NAME: Parameter = parameter("AppName", "Application name", "Weather board");
const CONFIRM_QUERY: Parameter = parameter(
    "ConfirmQuery",
    "Query string part of the activation URL",
    "?ticket=abc",
);
const CONFIRM_URL: Parameter = parameter(
    "ConfirmUrl",
    "Developer activation URL",
    "https://portal.example.com/confirm?ticket=abc&for=ann",
);
const DEV_EMAIL: Parameter = parameter("DevEmail", "Developer e-mail", "ann@example.com");
const DEV_FIRST_NAME: Parameter = parameter("DevFirstName", "Developer first name", "Ann");
const DEV_LAST_NAME: Parameter = parameter("DevLastName", "Developer last name", "Novak");
const DEV_PASSWORD: Parameter = parameter("DevPassword", "Developer password", "correct horse");
const DEV_PORTAL_HOST: Parameter = parameter(
    "DevPortalHost",
    "Developer portal hostname",
    "portal.example.com",
);
const DEV_PORTAL_URL: Parameter = parameter(
    "DevPortalUrl",
    "Developer portal URL",
    "https://portal.example.com",
);
const GATEWAY_URL: Parameter = parameter("GatewayUrl", "Gateway URL", "https://api.example.com");
const ISSUE_ID: Parameter = parameter("IssueId", "Issue id", "7");
const ISSUE_NAME: Parameter = parameter("IssueName", "Issue name", "Wrong <unit> in the answer");
const ISSUE_TEXT: Parameter = parameter(
    "IssueText",
    "Text of the issue or comment",
    "It says °F, but sends °C.",
);
const KEY_NAME: Parameter = parameter("KeyName", "Which of the two keys", "primary");
const MANAGEMENT_URL: Parameter = parameter(
    "ManagementUrl",
    "Management URL",
    "https://portico.example.com",
);
const ORGANIZATION_NAME: Parameter =
    parameter("OrganizationName", "Organization name", "Example & Sons");
const PROD_ID: Parameter = parameter("ProdId", "Product id", "starter");
const PROD_NAME: Parameter = parameter("ProdName", "Product name", "Starter");
const QUOTA_RESET_DATE: Parameter = parameter("QuotaResetDate", "Quota reset date", "2026-12-01");
const QUOTA_USED: Parameter = parameter("QuotaUsed", "Share of the quota used, in percent", "80");
const SERVICE_NAME: Parameter = parameter("ServiceName", "Service name", "contoso");
const SUB_DECLINE_REASON: Parameter = parameter(
    "SubDeclineReason",
    "Reason for declining the subscription",
    "No contract yet",
);
const SUB_ID: Parameter = parameter("SubId", "Subscription id", "5f3a");
const SUB_PRIMARY_KEY: Parameter = parameter(
    "SubPrimaryKey",
    "Primary key of the subscription",
    "0123456789abcdef",
);
const SUB_START_DATE: Parameter =
    parameter("SubStartDate", "Subscription start date", "2026-11-23");
const SUB_TERM: Parameter = parameter("SubTerm", "Subscription term", "1 month");

macro_rules! templates {
    ($($name:literal, $title:literal, $description:literal, [$($parameter:ident),* $(,)?];)*) => {
        &[$(Template {
            name: $name,
            title: $title,
            description: $description,
            parameters: &[$($parameter),*],
            english: (include_str!(concat!("../templates/", $name, "/subject.txt")), include_str!(concat!("../templates/", $name, "/body.html"))),
            czech: (include_str!(concat!("../templates/cs/", $name, "/subject.txt")), include_str!(concat!("../templates/cs/", $name, "/body.html"))),
        }),*]
    };
}

/// The contract's fourteen templates: what a service's e-mail templates are until somebody changes them.
pub const TEMPLATES: &[Template] = templates! {
    "accountClosedDeveloper", "Developer farewell letter",
        "Sent to developers when their account has been closed.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL];
    "applicationApprovedNotificationMessage", "Application gallery submission approved (deprecated)",
        "Sent to developers when their application has been accepted into the application gallery.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, APP_ID, APP_NAME];
    "confirmSignUpIdentityDefault", "New developer account confirmation",
        "Sent to developers after sign-up, to confirm that the e-mail address is theirs.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, CONFIRM_URL, CONFIRM_QUERY, DEV_PORTAL_HOST];
    "emailChangeIdentityDefault", "Email change confirmation",
        "Sent to the new address when a developer changes the e-mail address of the account.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, CONFIRM_URL, CONFIRM_QUERY, DEV_PORTAL_HOST];
    "inviteUserNotificationMessage", "Invite user",
        "Sent to people whom an administrator invites to the developer portal.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, CONFIRM_URL, CONFIRM_QUERY, DEV_PORTAL_HOST];
    "newCommentNotificationMessage", "New comment added to an issue (deprecated)",
        "Sent to developers when somebody comments on an issue they reported.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, ISSUE_ID, ISSUE_NAME];
    "newDeveloperNotificationMessage", "Developer welcome letter",
        "Sent to developers when their account is ready to use.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL];
    "newIssueNotificationMessage", "New issue received (deprecated)",
        "Sent to developers after they report an issue in the developer portal.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, ISSUE_ID, ISSUE_NAME];
    "passwordResetByAdminNotificationMessage", "Password reset by publisher notification (Password reset by admin)",
        "Sent to developers when an administrator has set a new password for them.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, DEV_PASSWORD];
    "passwordResetIdentityDefault", "Password change confirmation",
        "Sent to developers who asked for a new password.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, CONFIRM_URL, CONFIRM_QUERY, DEV_PORTAL_HOST];
    "purchaseDeveloperNotificationMessage", "New subscription activated",
        "Sent to developers when their subscription to a product is active.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, PROD_ID, PROD_NAME, SUB_START_DATE, SUB_TERM, SUB_PRIMARY_KEY];
    "quotaLimitApproachingDeveloperNotificationMessage", "Developer quota limit approaching notification",
        "Sent to developers when a subscription has used most of its quota.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, PROD_ID, PROD_NAME, QUOTA_RESET_DATE];
    "rejectDeveloperNotificationMessage", "Subscription request declined",
        "Sent to developers when an administrator declines their subscription request.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, PROD_ID, PROD_NAME, SUB_DECLINE_REASON];
    "requestDeveloperNotificationMessage", "Subscription request received",
        "Sent to developers after they ask for a subscription that needs approval.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, PROD_ID, PROD_NAME];
};

/// Portico's own mails: the welcome of an administrator, the replacement of a key, and one for each of the contract's
/// notifications that has a text of its own (all but BCC).
pub const SYSTEM_TEMPLATES: &[Template] = templates! {
    "service_activated", "Service activated",
        "Sent to the administrator when a new service is ready.",
        [ADMIN_NAME, ORGANIZATION_NAME, SERVICE_NAME, GATEWAY_URL, MANAGEMENT_URL, DEV_PORTAL_URL];
    "RequestPublisherNotificationMessage", "Subscription requests (requiring approval)",
        "Sent to the recipients of the notification when a developer asks for a subscription that needs approval.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL, PROD_ID, PROD_NAME, SUB_ID];
    "PurchasePublisherNotificationMessage", "New subscriptions",
        "Sent to the recipients of the notification when a subscription becomes active.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL, PROD_ID, PROD_NAME, SUB_ID];
    "NewApplicationNotificationMessage", "Application gallery requests",
        "Sent to the recipients of the notification when a developer submits an application to the gallery.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL, APP_ID, APP_NAME];
    "key_regenerated", "Subscription key replaced",
        "Sent to developers when a key of their subscription has been replaced.",
        [DEV_FIRST_NAME, DEV_LAST_NAME, ORGANIZATION_NAME, DEV_PORTAL_URL, PROD_NAME, SUB_ID, KEY_NAME];
    "NewIssuePublisherNotificationMessage", "New issue or comment",
        "Sent to the recipients of the notification when a developer reports an issue or comments on one.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL, ISSUE_ID, ISSUE_NAME, ISSUE_TEXT];
    "AccountClosedPublisher", "Close account message",
        "Sent to the recipients of the notification when a developer closes the account.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL];
    "QuotaLimitApproachingPublisherNotificationMessage", "Approaching subscription quota limit",
        "Sent to the recipients of the notification when a subscription has used most of its quota.",
        [ORGANIZATION_NAME, SERVICE_NAME, MANAGEMENT_URL, DEV_FIRST_NAME, DEV_LAST_NAME, DEV_EMAIL, PROD_ID, PROD_NAME, SUB_ID, QUOTA_USED, QUOTA_RESET_DATE];
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::{Variables, check, render};

    const LANGUAGES: [Language; 2] = [Language::English, Language::Czech];

    fn all() -> impl Iterator<Item = &'static Template> {
        TEMPLATES.iter().chain(SYSTEM_TEMPLATES)
    }

    fn folders(folder: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).expect("the templates' folder");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .filter(|name| name != "cs")
            .collect()
    }

    #[test]
    fn the_lists_are_the_folders() {
        let names: BTreeSet<_> = all().map(|template| template.name.to_owned()).collect();
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        assert_eq!(folders(&templates), names);
        assert_eq!(folders(&templates.join("cs")), names);
        assert_eq!(
            (TEMPLATES.len(), SYSTEM_TEMPLATES.len(), names.len()),
            (14, 8, 22)
        );
    }

    #[test]
    fn every_template_is_correct_and_renders_its_sample() {
        for template in all() {
            let variables: Variables = template
                .parameters
                .iter()
                .map(|parameter| (parameter.name.to_owned(), parameter.sample.into()))
                .collect();
            for language in LANGUAGES {
                let (subject, body) = (template.subject(language), template.body(language));
                assert_eq!(
                    check(subject, body, &template.parameter_names()),
                    [],
                    "{} {language:?}",
                    template.name
                );
                let rendered = render(subject, body, &variables).expect(template.name);
                for text in [&rendered.subject, &rendered.text, &rendered.html] {
                    assert!(
                        !text.trim().is_empty()
                            && !text.contains(['$', '{'])
                            && !text.contains("#if")
                            && !text.contains("#end"),
                        "{}: {text}",
                        template.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_variable_is_used_in_each_language_or_is_one_for_authors_only() {
        // The contract offers these two for links that authors build themselves.
        const FOR_AUTHORS: [&str; 2] = ["ConfirmQuery", "DevPortalHost"];
        for template in all() {
            for language in LANGUAGES {
                let text = format!("{}{}", template.subject(language), template.body(language));
                for parameter in template
                    .parameters
                    .iter()
                    .filter(|parameter| !FOR_AUTHORS.contains(&parameter.name))
                {
                    let is_general = matches!(parameter.name, "DevPortalUrl" | "OrganizationName");
                    assert!(
                        is_general || text.contains(&format!("${}", parameter.name)),
                        "{} {language:?} does not use {}",
                        template.name,
                        parameter.name
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_found_in_either_case_and_capitalised_for_the_contract() {
        let found = template("NEWISSUENotificationMessage").expect("a template");
        assert_eq!(
            (found.name, found.contract_name().as_str()),
            ("newIssueNotificationMessage", "NewIssueNotificationMessage")
        );
        assert_eq!(template("nothing"), None);
    }
}
