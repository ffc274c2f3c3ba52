//! PATCH: a JSON merge patch (RFC 7396) of the stored properties, then the same checks as PUT.

use super::{Found, Target, authorise, decode, flatten, put::ATTEMPTS};
use crate::{
    Engine, Error, LazyTransaction, Result, Violations,
    column::Place,
    page::{Reply, Request},
    resource::{Access, FieldAccess},
};
use serde_json::{Map, Value};

/// PATCH: 200 with the whole item.
///
/// # Errors
/// As PUT; `PreconditionRequired` where the contract demands `If-Match`.
pub async fn patch(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    for _ in 1..ATTEMPTS {
        let mut tx = engine.transaction().await?;
        match attempt(engine, request, target, &mut tx).await {
            Err(_) if tx.is_lost() => {}
            outcome => return outcome,
        }
    }
    // Others wait for this one.
    let mut tx = engine.transaction().await?;
    tx.open().await?;
    attempt(engine, request, target, &mut tx).await
}

async fn attempt(
    engine: &Engine,
    request: &Request,
    target: &Target,
    tx: &mut LazyTransaction,
) -> Result<Reply> {
    let kind = target.kind;
    let facts = kind.facts();
    let row = match engine.look(tx, target, &request.caller).await? {
        Found::Row(row) => row,
        Found::Parent(at) => {
            authorise(&at, target, Access::Write, "write")?;
            return Err(Error::not_found(facts.noun));
        }
        Found::Nothing => return Err(target.service_not_found()),
    };
    authorise(&row.at, target, Access::Write, "write")?;
    request.if_match.check(Some(row.rev), facts.if_match)?;
    let mut violations = Violations::default();
    let changes = flatten(kind, request, &mut violations)?;
    let mut stored = Map::new();
    row.entity.encode(
        &mut stored,
        &Place {
            service: &row.at.service.path,
        },
    );
    let given: Vec<String> = changes.keys().cloned().collect();
    for (name, value) in changes {
        let writable = facts.fields.iter().any(|f| {
            f.wire == name && !matches!(f.access, FieldAccess::ReadOnly | FieldAccess::Internal)
        });
        if writable {
            merge(stored.entry(name).or_insert(Value::Null), value);
        }
    }
    let new = decode(kind, stored, violations)?;
    let mut reply =
        super::replace(engine, request, kind, tx, row, new, given, facts.patched).await?;
    if reply.status == 204 {
        reply.body = None;
    }
    Ok(reply)
}

/// RFC 7396.
pub fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            if let Value::Object(map) = target {
                for (name, value) in patch {
                    if value.is_null() {
                        map.remove(&name);
                    } else {
                        merge(map.entry(name).or_insert(Value::Null), value);
                    }
                }
            }
        }
        other => *target = other,
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::json;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn the_rfc_s_examples_merge() {
        for (original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            let mut target = original;
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
