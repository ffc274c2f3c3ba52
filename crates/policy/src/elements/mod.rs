//! The closed list of policies. One file per policy: its configuration, its parser, its example and its tests.
//!
//! Adding one is a new file and a line in the list below; the gateway then does not compile until it applies the new [`StepKind`].

use crate::document::{Scope, Section, Step};
use crate::parser::Parser;
use crate::xml::Element;

/// What the shared parser knows of a policy.
pub(crate) struct Rule {
    pub(crate) element: &'static str,
    sections: u8,
    scopes: u8,
    pub(crate) once: bool,
    pub(crate) parse: fn(&mut Parser<'_>, &Element) -> Option<StepKind>,
    /// A realistic use, wrapped in nothing. The shared test parses it.
    pub(crate) example: &'static str,
    description: &'static str,
}

/// What an author needs to know of a policy before writing it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Description {
    /// Name of its element.
    pub element: &'static str,
    /// One sentence on what it does.
    pub description: &'static str,
    /// Sections in which it may stand: `inbound`, `backend`, `outbound`, `on-error`.
    pub sections: Vec<&'static str>,
    /// Documents in which it may stand: `global`, `product`, `api`, `operation`, `fragment`.
    pub scopes: Vec<&'static str>,
    /// A realistic use.
    pub example: &'static str,
}

/// Every policy, by name.
pub fn catalogue() -> Vec<Description> {
    let mut all: Vec<Description> = RULES
        .iter()
        .map(|rule| Description {
            element: rule.element,
            description: rule.description,
            sections: [
                (I, "inbound"),
                (B, "backend"),
                (O, "outbound"),
                (E, "on-error"),
            ]
            .into_iter()
            .filter(|(bit, _)| rule.sections & bit != 0)
            .map(|(_, name)| name)
            .collect(),
            scopes: [
                (GLOBAL, "global"),
                (PRODUCT, "product"),
                (API, "api"),
                (OPERATION, "operation"),
                (FRAGMENT, "fragment"),
            ]
            .into_iter()
            .filter(|(bit, _)| rule.scopes & bit != 0)
            .map(|(_, name)| name)
            .collect(),
            example: rule.example,
        })
        .collect();
    all.sort_by_key(|policy| policy.element);
    all
}

const I: u8 = 1;
const B: u8 = 2;
const O: u8 = 4;
const E: u8 = 8;
const ALL: u8 = I | B | O | E;

const GLOBAL: u8 = 1;
const PRODUCT: u8 = 2;
const API: u8 = 4;
const OPERATION: u8 = 8;
const FRAGMENT: u8 = 16;
const ANY: u8 = GLOBAL | PRODUCT | API | OPERATION | FRAGMENT;

impl Rule {
    pub(crate) fn permits(&self, section: Section) -> bool {
        let bit = match section {
            Section::Inbound => I,
            Section::Backend => B,
            Section::Outbound => O,
            Section::OnError => E,
        };
        self.sections & bit != 0
    }

    pub(crate) fn permits_scope(&self, scope: Scope) -> bool {
        let bit = match scope {
            Scope::Global => GLOBAL,
            Scope::Product => PRODUCT,
            Scope::Api => API,
            Scope::Operation => OPERATION,
            Scope::Fragment => FRAGMENT,
        };
        self.scopes & bit != 0
    }
}

macro_rules! elements {
    ($($module:ident $name:ident $element:literal, $sections:expr, $scopes:expr, $once:literal, $doc:literal;)+) => {
        $(#[doc = $doc] pub mod $module;)+

        /// A policy with its configuration: one variant for each element. Match on it without `_`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum StepKind {
            $(#[doc = concat!("`<", $element, ">`: ", $doc)] $name($module::$name),)+
        }

        impl StepKind {
            /// Name of the policy's element.
            pub fn element(&self) -> &'static str {
                match self { $(Self::$name(_) => $element,)+ }
            }
        }

        pub(crate) static RULES: &[Rule] = &[
            $(Rule {
                element: $element,
                sections: $sections,
                scopes: $scopes,
                once: $once,
                parse: |parser, element| $module::parse(parser, element).map(StepKind::$name),
                example: $module::EXAMPLE,
                description: $doc,
            },)+
        ];
    };
}

elements! {
    base Base "base", ALL, GLOBAL | PRODUCT | API | OPERATION, true, "Runs the policies of the enclosing scope.";
    authentication_basic AuthenticationBasic "authentication-basic", I, ANY, false, "Authenticates to the backend by name and password.";
    authentication_certificate AuthenticationCertificate "authentication-certificate", I, ANY, false, "Authenticates to the backend with a client certificate.";
    authentication_managed_identity AuthenticationManagedIdentity "authentication-managed-identity", I, ANY, false, "Authenticates to the backend with a token of the service's identity.";
    cache_lookup CacheLookup "cache-lookup", I, ANY, false, "Answers from the cache.";
    cache_lookup_value CacheLookupValue "cache-lookup-value", ALL, ANY, false, "Reads a value of the cache into a variable.";
    cache_remove_value CacheRemoveValue "cache-remove-value", ALL, ANY, false, "Removes a value from the cache.";
    cache_store CacheStore "cache-store", O, ANY, false, "Keeps the response in the cache.";
    cache_store_value CacheStoreValue "cache-store-value", ALL, ANY, false, "Keeps a value in the cache.";
    check_header CheckHeader "check-header", I, ANY, false, "Demands a request header.";
    choose Choose "choose", ALL, ANY, false, "Runs the first branch whose condition holds.";
    cors Cors "cors", I, ANY, true, "Permits calls of web pages from other origins.";
    cross_domain CrossDomain "cross-domain", I, GLOBAL | FRAGMENT, false, "Permits calls of Flash and Silverlight clients.";
    emit_metric EmitMetric "emit-metric", ALL, ANY, false, "Sends a custom metric.";
    find_and_replace FindAndReplace "find-and-replace", ALL, ANY, false, "Replaces text in the body.";
    forward_request ForwardRequest "forward-request", B, ANY, false, "Sends the request to the backend.";
    include_fragment IncludeFragment "include-fragment", ALL, ANY, false, "Runs the policies of a fragment.";
    ip_filter IpFilter "ip-filter", I, ANY, false, "Permits or forbids client addresses.";
    json_to_xml JsonToXml "json-to-xml", I | O | E, ANY, false, "Converts the body from JSON to XML.";
    jsonp Jsonp "jsonp", O, ANY, false, "Wraps the response in a call of JavaScript.";
    limit_concurrency LimitConcurrency "limit-concurrency", ALL, ANY, false, "Limits how many requests run the policies inside at one time.";
    log_to_eventhub LogToEventhub "log-to-eventhub", ALL, ANY, false, "Sends a message to a logger.";
    mock_response MockResponse "mock-response", I | O | E, ANY, false, "Answers with the example of the operation.";
    proxy Proxy "proxy", I, ANY, false, "Reaches the backend through an HTTP proxy.";
    quota Quota "quota", I, PRODUCT | FRAGMENT, true, "Limits calls and bandwidth of a subscription.";
    quota_by_key QuotaByKey "quota-by-key", I, ANY, false, "Limits calls and bandwidth of a key.";
    rate_limit RateLimit "rate-limit", I, PRODUCT | API | OPERATION | FRAGMENT, true, "Limits the call rate of a subscription.";
    rate_limit_by_key RateLimitByKey "rate-limit-by-key", I, ANY, false, "Limits the call rate of a key.";
    redirect_content_urls RedirectContentUrls "redirect-content-urls", I | O, ANY, false, "Turns addresses of the backend in the body into those of the gateway, and back.";
    retry Retry "retry", ALL, ANY, false, "Repeats the policies inside while a condition holds.";
    return_response ReturnResponse "return-response", ALL, ANY, false, "Ends the request with a response of its own.";
    rewrite_uri RewriteUri "rewrite-uri", I, ANY, false, "Changes the path and query that the backend sees.";
    send_one_way_request SendOneWayRequest "send-one-way-request", ALL, ANY, false, "Sends a request and does not wait for the response.";
    send_request SendRequest "send-request", ALL, ANY, false, "Sends a request and keeps its response in a variable.";
    set_backend_service SetBackendService "set-backend-service", I | B, ANY, false, "Changes the backend.";
    set_body SetBody "set-body", ALL, ANY, false, "Sets the body.";
    set_header SetHeader "set-header", ALL, ANY, false, "Sets, appends to or deletes a header.";
    set_method SetMethod "set-method", ALL, ANY, false, "Changes the method of the request.";
    set_query_parameter SetQueryParameter "set-query-parameter", I | B, ANY, false, "Sets, appends to or deletes a query parameter.";
    set_status SetStatus "set-status", ALL, ANY, false, "Sets the status of the response.";
    set_variable SetVariable "set-variable", ALL, ANY, false, "Sets a context variable.";
    trace Trace "trace", ALL, ANY, false, "Writes to the request trace.";
    validate_azure_ad_token ValidateAzureAdToken "validate-azure-ad-token", I, ANY, false, "Demands a valid token of Microsoft Entra.";
    validate_client_certificate ValidateClientCertificate "validate-client-certificate", I, ANY, false, "Demands a client certificate.";
    validate_content ValidateContent "validate-content", I | O | E, ANY, false, "Checks size and schema of the body.";
    validate_headers ValidateHeaders "validate-headers", O | E, ANY, false, "Checks the headers of the response against the documented ones.";
    validate_jwt ValidateJwt "validate-jwt", I, ANY, false, "Demands a valid JSON web token.";
    validate_parameters ValidateParameters "validate-parameters", I, ANY, false, "Checks headers, query and path of the request against the documented parameters.";
    validate_status_code ValidateStatusCode "validate-status-code", O | E, ANY, false, "Checks the status of the response against the documented ones.";
    wait Wait "wait", I | B | O, ANY, false, "Runs the policies inside at the same time.";
    xml_to_json XmlToJson "xml-to-json", I | O | E, ANY, false, "Converts the body from XML to JSON.";
}

/// Policies that others have and Portico does not: an author who knows them is told so, and what does the same.
pub(crate) const NOT_HERE: &[(&str, &str)] = &[
    (
        "azure-openai-*",
        "rate-limit-by-key and cache-lookup-value serve calls of language models, too",
    ),
    (
        "llm-*",
        "rate-limit-by-key and cache-lookup-value serve calls of language models, too",
    ),
    (
        "cosmosdb-data-source",
        "GraphQL APIs are passed on as they are",
    ),
    ("http-data-source", "GraphQL APIs are passed on as they are"),
    ("sql-data-source", "GraphQL APIs are passed on as they are"),
    (
        "set-graphql-resolver",
        "GraphQL APIs are passed on as they are",
    ),
    ("publish-event", "GraphQL APIs are passed on as they are"),
    (
        "validate-graphql-request",
        "GraphQL APIs are passed on as they are",
    ),
    (
        "get-authorization-context",
        "send-request fetches tokens, and cache-store-value keeps them",
    ),
    (
        "invoke-dapr-binding",
        "there is no Dapr beside the gateway; send-request calls its HTTP address where there is",
    ),
    (
        "publish-to-dapr",
        "there is no Dapr beside the gateway; send-one-way-request calls its HTTP address where there is",
    ),
    (
        "validate-odata-request",
        "validate-parameters checks the documented query",
    ),
    (
        "xsl-transform",
        "set-body with a liquid template transforms bodies",
    ),
];

impl StepKind {
    /// Whether the policy may stand in a section.
    pub fn permits(&self, section: Section) -> bool {
        RULES
            .iter()
            .any(|rule| rule.element == self.element() && rule.permits(section))
    }

    /// Calls `visit` with each list of steps inside the policy.
    pub(crate) fn for_each_branch(&mut self, visit: &mut dyn FnMut(&mut Vec<Step>)) {
        match self {
            Self::Choose(choose) => {
                for when in &mut choose.when {
                    visit(&mut when.steps);
                }
                visit(&mut choose.otherwise);
            }
            Self::Retry(retry) => visit(&mut retry.steps),
            Self::Wait(wait) => visit(&mut wait.steps),
            Self::LimitConcurrency(limit) => visit(&mut limit.steps),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::document::{Scope, Section, parse};
    use crate::xml::Format;

    const SCOPES: [Scope; 5] = [
        Scope::Global,
        Scope::Product,
        Scope::Api,
        Scope::Operation,
        Scope::Fragment,
    ];

    #[test]
    fn every_example_parses_exactly_where_its_policy_is_permitted() {
        for rule in RULES {
            for scope in SCOPES {
                for section in Section::ALL {
                    let xml = if scope == Scope::Fragment {
                        format!("<fragment>{}</fragment>", rule.example)
                    } else {
                        format!(
                            "<policies><{0}>{1}</{0}></policies>",
                            section.element(),
                            rule.example
                        )
                    };
                    let permitted = rule.permits_scope(scope)
                        && (scope == Scope::Fragment || rule.permits(section));
                    match parse(&xml, Format::Xml, scope) {
                        Ok(document) => {
                            assert!(permitted, "{} in {scope:?}, {section:?}", rule.element);
                            let steps = if scope == Scope::Fragment {
                                &document.fragment[..]
                            } else {
                                document.section(section)
                            };
                            assert_eq!(
                                steps
                                    .iter()
                                    .map(|step| step.kind.element())
                                    .collect::<Vec<_>>(),
                                [rule.element]
                            );
                        }
                        Err(problems) => assert!(!permitted, "{}: {problems:?}", rule.element),
                    }
                }
            }
        }
    }

    #[test]
    fn every_policy_refuses_an_unknown_attribute() {
        for rule in RULES {
            let at = 1 + rule.element.len();
            let example = format!(
                "{} surprise=\"1\"{}",
                &rule.example[..at],
                &rule.example[at..]
            );
            let problems = parse(
                &format!("<fragment>{example}</fragment>"),
                Format::Xml,
                Scope::Fragment,
            )
            .err()
            .unwrap_or_default();
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.message == "Unknown attribute 'surprise'."
                        && problem.element.as_deref() == Some(rule.element)),
                "{}: {problems:?}",
                rule.element
            );
        }
    }
}
