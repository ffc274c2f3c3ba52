//! Policy fragments: pieces of policy that documents include.

use crate::{policy::Format, service::Service};
use engine::{
    Access, Action, BoxFuture, Contract, Cx, Error, Filter, NameRule, Reply, Resource, Result,
    Value, Violations, json, sqlx,
};
use policy::Scope;
use utoipa::ToSchema;

/// A policy fragment.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyFragmentContract {
    /// The fragment: `<fragment>…</fragment>`.
    pub value: String,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// How it is written.
    #[contract(default = Format::Xml)]
    pub format: Format,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
}

/// The kind.
pub struct PolicyFragment;

impl Resource for PolicyFragment {
    type Parent = Service;
    type Contract = PolicyFragmentContract;
    const TITLE: &'static str = "PolicyFragment";
    const SEGMENT: &'static str = "policyFragments";
    const PARAMETER: &'static str = "id";
    const TABLE: &'static str = "policy_fragments";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };
    const SERVED: bool = true;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("description", "description"),
        Filter::text("value", "value"),
    ];
    const ACTIONS: &'static [Action] = &[Action {
        name: "listReferences",
        operation: "PolicyFragment_ListReferences",
        summary: "Lists the policies that include the fragment.",
        access: Access::Read,
        status: 200,
        run: |cx, _| Box::pin(list_references(cx)),
    }];
    const SHOWN: Option<engine::Shown<PolicyFragmentContract>> = Some(|stored, query| {
        let (value, format) = crate::policy::reshown(&stored.value, stored.format, query)?;
        Ok(PolicyFragmentContract {
            value,
            format,
            ..stored.clone()
        })
    });

    fn example() -> Value {
        json!({"value": "<fragment><set-header name=\"X-Team\" exists-action=\"override\"><value>demo</value></set-header></fragment>",
               "description": "Names the team.", "format": "xml"})
    }

    fn validate(fragment: &PolicyFragmentContract, violations: &mut Violations) {
        let Some(format) = fragment.format.text() else {
            violations.add("format", "must be xml or rawxml");
            return;
        };
        if let Err(problems) = policy::parse(&fragment.value, format, Scope::Fragment)
            && policy::named_values_in(&fragment.value).is_empty()
        {
            crate::policy::report(&problems, violations);
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a PolicyFragmentContract>,
        new: &'a mut PolicyFragmentContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            crate::policy::check(cx, &new.value, new.format.text(), Scope::Fragment).await?;
            new.provisioning_state = "Succeeded".into();
            if let Some(format) = new.format.text() {
                new.value = policy::reformat(&new.value, format, format).map_err(|p| {
                    Error::internal(format!(
                        "a fragment that parses cannot be printed: {}",
                        p.message
                    ))
                })?;
            }
            Ok(())
        })
    }

    fn deleting<'a>(
        cx: &'a mut Cx<'_>,
        _: &'a PolicyFragmentContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let used = references(cx).await?;
            if used.is_empty() {
                Ok(())
            } else {
                Err(Error::invalid(
                    "id",
                    format!(
                        "names a fragment that the policies of {} include",
                        used.join(", ")
                    ),
                ))
            }
        })
    }
}

/// Resource ids of the policies that include the fragment.
async fn references(cx: &mut Cx<'_>) -> Result<Vec<String>> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT place FROM ( \
           SELECT '/policies/policy' AS place, value FROM service_policies WHERE parent_id = $1 \
           UNION ALL SELECT '/products/' || p.name || '/policies/policy', x.value FROM product_policies x \
             JOIN products p ON p.id = x.parent_id WHERE p.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name || '/policies/policy', x.value FROM api_policies x \
             JOIN apis a ON a.id = x.parent_id WHERE a.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name || '/operations/' || o.name || '/policies/policy', x.value FROM operation_policies x \
             JOIN api_operations o ON o.id = x.parent_id JOIN apis a ON a.id = o.parent_id WHERE a.parent_id = $1 \
           UNION ALL SELECT '/policyFragments/' || f.name, f.value FROM policy_fragments f WHERE f.parent_id = $1 AND f.id <> $3 \
         ) policies WHERE strpos(lower(value), lower($2)) > 0 ORDER BY place",
    )
    .bind(cx.service.id)
    .bind(format!("fragment-id=\"{}\"", cx.name))
    .bind(cx.id)
    .fetch_all(&mut *cx.conn)
    .await?;
    Ok(names)
}

async fn list_references(cx: &mut Cx<'_>) -> Result<Reply> {
    let used = references(cx).await?;
    let value: Vec<Value> = used
        .iter()
        .map(|place| json!({"id": format!("{}{place}", cx.service.path)}))
        .collect();
    Ok(Reply::ok(json!({"count": value.len(), "value": value})))
}
