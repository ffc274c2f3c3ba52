//! Operations: a method and a URL template of an API.

use crate::{api::Api, tag};
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, Json, ListParameter, NameRule, Resource, Result, Value,
    Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An operation.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct OperationContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// HTTP method; any token.
    #[contract(length(1..=40))]
    pub method: String,
    /// URL template, relative to the API: `/jobs/{jobid}?api-version={apiversion}`.
    #[contract(length(1..=1000))]
    pub url_template: String,
    /// Parameters of the template; each `{name}` once.
    #[contract(default = Json(Vec::new()))]
    pub template_parameters: Json<Vec<ParameterContract>>,
    /// Description; may hold HTML.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// The request: query parameters, headers, representations.
    pub request: Option<Json<RequestContract>>,
    /// Responses by status code.
    #[contract(default = Json(Vec::new()))]
    pub responses: Json<Vec<ResponseContract>>,
    /// Policies, as some clients send them; the policy resource is what counts.
    pub policies: Option<String>,
}

/// A parameter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterContract {
    /// Name.
    pub name: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Type: `string`, `integer`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Value where the caller gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<String>,
    /// Whether the caller must give one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Values to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// Schema that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<String>,
    /// Type in that schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Examples by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<Value>,
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestContract {
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Query parameters.
    #[serde(default)]
    pub query_parameters: Vec<ParameterContract>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<ParameterContract>,
    /// Bodies by content type.
    #[serde(default)]
    pub representations: Vec<RepresentationContract>,
}

/// A response.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContract {
    /// Status code.
    pub status_code: i32,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Bodies by content type.
    #[serde(default)]
    pub representations: Vec<RepresentationContract>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<ParameterContract>,
}

/// A body of one content type.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepresentationContract {
    /// Content type.
    pub content_type: String,
    /// Schema that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<String>,
    /// Type in that schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Fields of a form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form_parameters: Option<Vec<ParameterContract>>,
    /// Examples by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<Value>,
    /// One example, as older clients send it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

/// The kind.
pub struct Operation;

impl Resource for Operation {
    type Parent = Api;
    type Contract = OperationContract;
    const TITLE: &'static str = "ApiOperation";
    const NOUN: &'static str = "Operation";
    const SEGMENT: &'static str = "operations";
    const PARAMETER: &'static str = "operationId";
    const TABLE: &'static str = "api_operations";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const SERVED: bool = true;
    const LIST_PARAMETERS: &'static [ListParameter] = &[
        tag::shown!("operation_tags l ON l.tag_id = g.id WHERE l.operation_id = t.id"),
        tag::tagged!("operation_tags", "operation_id"),
    ];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("method", "method"),
        Filter::text("description", "description"),
        Filter::text("urlTemplate", "url_template"),
    ];

    fn example() -> Value {
        json!({
            "displayName": "BES Status",
            "method": "GET",
            "urlTemplate": "/workspaces/{workspace}/services/{service}/jobs/{jobid}?api-version={apiversion}",
            "templateParameters": [
                {"name": "workspace", "type": "string", "required": true},
                {"name": "service", "type": "string", "required": true},
                {"name": "jobid", "type": "string", "required": true},
                {"name": "apiversion", "type": "string", "required": true}
            ],
            "description": "State of a batch job.",
            "responses": [{"statusCode": 200, "description": "OK", "representations": [], "headers": []}]
        })
    }

    fn validate(operation: &OperationContract, violations: &mut Violations) {
        if !operation
            .method
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        {
            violations.add("method", "must be an HTTP method such as GET");
        }
        let declared = &operation.template_parameters.0;
        match names_in(&operation.url_template) {
            Err(why) => violations.add("urlTemplate", why),
            Ok(names) => {
                for (at, name) in names.iter().enumerate() {
                    if names[..at].contains(name) {
                        violations
                            .add("urlTemplate", format!("holds the parameter '{name}' twice"));
                    }
                    if !declared.iter().any(|p| p.name == *name) {
                        violations.add(
                            "templateParameters",
                            format!("does not define the parameter '{name}' of the urlTemplate"),
                        );
                    }
                }
                for (at, parameter) in declared.iter().enumerate() {
                    if !names.contains(&parameter.name.as_str()) {
                        violations.add(
                            format!("templateParameters[{at}].name"),
                            format!(
                                "names '{}', which the urlTemplate does not hold",
                                parameter.name
                            ),
                        );
                    }
                }
            }
        }
        for (at, response) in operation.responses.0.iter().enumerate() {
            if !(100..=599).contains(&response.status_code) {
                violations.add(
                    format!("responses[{at}].statusCode"),
                    "must be an HTTP status code",
                );
            }
            if operation.responses.0[..at]
                .iter()
                .any(|r| r.status_code == response.status_code)
            {
                violations.add(
                    format!("responses[{at}].statusCode"),
                    format!("names {} twice", response.status_code),
                );
            }
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a OperationContract>,
        new: &'a mut OperationContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            new.method = new.method.to_ascii_uppercase();
            if !new.url_template.starts_with(['/', '?']) {
                new.url_template.insert(0, '/');
            }
            let api = cx.parents.last().copied().unwrap_or_default();
            let taken: Option<String> = sqlx::query_scalar(
                "SELECT name FROM api_operations WHERE parent_id = $1 AND method = $2 AND lower(url_template) = lower($3) AND id <> $4",
            )
            .bind(api)
            .bind(&new.method)
            .bind(&new.url_template)
            .bind(cx.id)
            .fetch_optional(&mut *cx.conn)
            .await?;
            match taken {
                Some(other) => Err(Error::invalid(
                    "urlTemplate",
                    format!("is with this method already the template of the operation '{other}'"),
                )),
                None => Ok(()),
            }
        })
    }

    /// The policy goes by cascade and must leave the gateway's configuration, too.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a OperationContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let policies: Vec<uuid::Uuid> =
                sqlx::query_scalar("SELECT id FROM operation_policies WHERE parent_id = $1")
                    .bind(cx.id)
                    .fetch_all(&mut *cx.conn)
                    .await?;
            for id in policies {
                cx.changed("operation_policies", id);
            }
            Ok(())
        })
    }
}

/// The parameters of a URL template, in order.
fn names_in(template: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        if rest.as_bytes()[open] == b'}' {
            return Err("has a '}' without a '{'".into());
        }
        let inner = &rest[open + 1..];
        let close = inner
            .find(['{', '}'])
            .filter(|at| inner.as_bytes()[*at] == b'}')
            .ok_or("has a '{' without a '}'")?;
        let name = &inner[..close];
        if name.is_empty() || name == "*" {
            return Err("has a parameter without a name".into());
        }
        names.push(name.trim_start_matches('*'));
        rest = &inner[close + 1..];
    }
    if template.contains(['#', ' ']) {
        return Err("must not contain '#' or spaces".into());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn parameters_are_found_in_path_and_query() {
        assert_eq!(
            names_in("/a/{b}/c{d}.{e}?x={f}&y=1"),
            Ok(vec!["b", "d", "e", "f"])
        );
        assert_eq!(names_in("/*"), Ok(vec![]));
        for wrong in ["/{a", "/a}", "/{}", "/{a{b}}", "/a b", "/a#b"] {
            assert!(names_in(wrong).is_err(), "{wrong}");
        }
    }
}
