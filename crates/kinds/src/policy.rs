//! Policies of a service, a product, an API and an operation: one document each.

use crate::{api::Api, operation::Operation, product::Product, service::Service};
use engine::{
    BoxFuture, Contract, Cx, Error, NameRule, Query, Resource, Result, TextColumn, Value,
    Violations, json, sqlx,
};
use policy::{Format as TextFormat, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A policy document.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyContract {
    /// The document.
    pub value: String,
    /// How the document is written.
    #[contract(default = Format::Xml)]
    pub format: Format,
}

/// How a policy document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum Format {
    /// XML; expressions are escaped like all text.
    #[serde(rename = "xml")]
    Xml,
    /// XML behind a URL.
    #[serde(rename = "xml-link")]
    XmlLink,
    /// XML in which expressions stand as they are.
    #[serde(rename = "rawxml")]
    RawXml,
    /// The same behind a URL.
    #[serde(rename = "rawxml-link")]
    RawXmlLink,
}

impl Format {
    /// How the text is to be read; `None` for links.
    #[must_use]
    pub const fn text(self) -> Option<TextFormat> {
        match self {
            Self::Xml => Some(TextFormat::Xml),
            Self::RawXml => Some(TextFormat::RawXml),
            Self::XmlLink | Self::RawXmlLink => None,
        }
    }
}

fn validate(contract: &PolicyContract, scope: Scope, violations: &mut Violations) {
    let Some(format) = contract.format.text() else {
        violations.add(
            "format",
            "is that of a link, from which no document was fetched",
        );
        return;
    };
    if let Err(problems) = policy::parse(&contract.value, format, scope)
        && policy::named_values_in(&contract.value).is_empty()
    {
        report(&problems, violations);
    }
}

/// What is wrong with a document that uses named values: where a number must stand, their values count.
///
/// # Errors
/// Every problem. They name the values and do not show them: they may be secrets.
pub(crate) async fn check(
    cx: &mut Cx<'_>,
    value: &str,
    format: Option<TextFormat>,
    scope: Scope,
) -> Result<()> {
    let Some(format) = format else { return Ok(()) };
    let Err(problems) = policy::parse(value, format, scope) else {
        return Ok(());
    };
    let (filled, format) = filled(cx, value, format).await?;
    let mut violations = Violations::default();
    if policy::parse(&filled, format, scope).is_err() {
        report(&problems, &mut violations);
    }
    violations.into_result()
}

/// A document with the named values in the places of their names; as it is where one of them is not known.
async fn filled(cx: &mut Cx<'_>, value: &str, format: TextFormat) -> Result<(String, TextFormat)> {
    let names = policy::named_values_in(value);
    let as_it_is = || (value.to_owned(), format);
    if names.is_empty() {
        return Ok(as_it_is());
    }
    let stored: Vec<(String, Option<String>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT lower(display_name), value, secret_value FROM named_values WHERE parent_id = $1 AND lower(display_name) = ANY($2)",
    )
    .bind(cx.service.id)
    .bind(names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>())
    .fetch_all(&mut *cx.conn)
    .await?;
    let mut values = std::collections::HashMap::new();
    for (name, plain, sealed) in stored {
        let opened = sealed.map(|sealed| cx.engine.codec.open(&sealed));
        let opened = opened.transpose()?.map(|secret| secret.expose().to_owned());
        values.extend(opened.or(plain).map(|value| (name, value)));
    }
    let xml = policy::reformat(value, format, TextFormat::Xml).ok();
    let substituted = xml.and_then(|xml| {
        policy::substitute_named_values(&xml, |name| values.get(&name.to_lowercase()).cloned()).ok()
    });
    Ok(substituted.map_or_else(as_it_is, |xml| (xml, TextFormat::Xml)))
}

/// The problems of a policy text as violations of its field.
pub(crate) fn report(problems: &[policy::Problem], violations: &mut Violations) {
    for problem in problems {
        violations.add(
            "value",
            format!(
                "is wrong at line {}, column {}: {}",
                problem.line, problem.column, problem.message
            ),
        );
    }
}

/// Every fragment that the document includes must exist and fit where it is included.
async fn check_fragments(cx: &mut Cx<'_>, new: &PolicyContract, scope: Scope) -> Result<()> {
    if !new.value.contains("include-fragment") {
        return Ok(());
    }
    let stored: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT lower(name), value, format FROM policy_fragments WHERE parent_id = $1",
    )
    .bind(cx.service.id)
    .fetch_all(&mut *cx.conn)
    .await?;
    let mut fragments = std::collections::HashMap::new();
    for (name, value, format) in stored {
        let format = if format == "rawxml" {
            TextFormat::RawXml
        } else {
            TextFormat::Xml
        };
        let (value, format) = filled(cx, &value, format).await?;
        let fragment = policy::parse(&value, format, Scope::Fragment)
            .map_err(|_| Error::internal(format!("the stored fragment {name} cannot be read")))?;
        fragments.insert(name, fragment);
    }
    let Some(format) = new.format.text() else {
        return Ok(());
    };
    let mut violations = Violations::default();
    let (value, format) = filled(cx, &new.value, format).await?;
    let resolved = policy::parse(&value, format, scope).and_then(|document| {
        document.resolve_fragments(&|name| fragments.get(&name.to_lowercase()).cloned())
    });
    if let Err(problems) = resolved {
        report(&problems, &mut violations);
    }
    violations.into_result()
}

/// Every named value that the document uses must exist.
pub(crate) async fn check_named_values(cx: &mut Cx<'_>, new: &PolicyContract) -> Result<()> {
    let names = policy::named_values_in(&new.value);
    if names.is_empty() {
        return Ok(());
    }
    let known: Vec<String> =
        sqlx::query_scalar("SELECT lower(display_name) FROM named_values WHERE parent_id = $1 AND lower(display_name) = ANY($2)")
            .bind(cx.service.id)
            .bind(names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>())
            .fetch_all(&mut *cx.conn)
            .await?;
    let mut violations = Violations::default();
    for name in names
        .iter()
        .filter(|name| !known.contains(&name.to_lowercase()))
    {
        violations.add(
            "value",
            format!("uses the named value '{name}', which does not exist"),
        );
    }
    violations.into_result()
}

/// The stored text is indented alike, whoever wrote it; comments stay (contract rules §9).
pub(crate) fn normalise(new: &mut PolicyContract) -> Result<()> {
    let Some(format) = new.format.text() else {
        return Err(Error::internal("a link passed the validation of a policy"));
    };
    new.value = policy::reformat(&new.value, format, format).map_err(|p| {
        Error::internal(format!(
            "a policy that parses cannot be printed: {}",
            p.message
        ))
    })?;
    Ok(())
}

/// GET answers escaped XML unless `format=rawxml` asks for the other (contract rules §9).
///
/// # Errors
/// A violation of `format` for anything else.
pub(crate) fn reshown(value: &str, format: Format, query: &Query) -> Result<(String, Format)> {
    let wanted = match query
        .value("format")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("" | "xml") => Format::Xml,
        Some("rawxml") => Format::RawXml,
        Some(_) => return Err(Error::invalid("format", "must be xml or rawxml")),
    };
    let (Some(from), Some(to)) = (format.text(), wanted.text()) else {
        return Err(Error::internal("a link was stored as a policy"));
    };
    let value = policy::reformat(value, from, to)
        .map_err(|p| Error::internal(format!("a stored policy: {}", p.message)))?;
    Ok((value, wanted))
}

/// A document in the format that is asked for.
pub(crate) fn shown(stored: &PolicyContract, query: &Query) -> Result<PolicyContract> {
    let (value, format) = reshown(&stored.value, stored.format, query)?;
    Ok(PolicyContract { value, format })
}

macro_rules! policy_kind {
    ($(#[$doc:meta])* $kind:ident, $parent:ty, $title:literal, $table:literal, $scope:expr) => {
        $(#[$doc])*
        pub struct $kind;

        impl Resource for $kind {
            type Parent = $parent;
            type Contract = PolicyContract;
            const TITLE: &'static str = $title;
            const NOUN: &'static str = "PoliciesConfiguration";
            const SEGMENT: &'static str = "policies";
            const PARAMETER: &'static str = "policyId";
            const TABLE: &'static str = $table;
            const IN_WORKSPACES: bool = true;
            const NAME: NameRule = NameRule::Fixed(&["policy"]);
            const VERBS: engine::Verbs = engine::Verbs { patch: false, ..engine::Verbs::ALL };
            const SERVED: bool = true;
            const SHOWN: Option<engine::Shown<PolicyContract>> = Some(shown);

            fn example() -> Value {
                json!({
                    "value": "<policies><inbound><base /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>",
                    "format": "xml"
                })
            }
            fn validate(contract: &PolicyContract, violations: &mut Violations) {
                validate(contract, $scope, violations);
            }
            fn prepare<'a>(
                cx: &'a mut Cx<'_>,
                _: Option<&'a PolicyContract>,
                new: &'a mut PolicyContract,
            ) -> BoxFuture<'a, Result<()>> {
                Box::pin(async move {
                    check_named_values(cx, new).await?;
                    check(cx, &new.value, new.format.text(), $scope).await?;
                    check_fragments(cx, new, $scope).await?;
                    normalise(new)
                })
            }
        }
    };
}

policy_kind!(
    /// The policy of the whole service.
    ServicePolicy, Service, "Policy", "service_policies", Scope::Global
);
policy_kind!(
    /// The policy of a product.
    ProductPolicy, Product, "ProductPolicy", "product_policies", Scope::Product
);
policy_kind!(
    /// The policy of an API.
    ApiPolicy, Api, "ApiPolicy", "api_policies", Scope::Api
);
policy_kind!(
    /// The policy of an operation.
    OperationPolicy, Operation, "ApiOperationPolicy", "operation_policies", Scope::Operation
);
