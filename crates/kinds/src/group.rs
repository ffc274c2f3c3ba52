//! Groups: which developers see which products.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, NameRule, Resource, Result, TextColumn, Value,
    Violations, json, link::Edit, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A group of developers.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GroupContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// Whether it is one of administrators, developers and guests.
    #[contract(read_only)]
    pub built_in: bool,
    /// Who keeps its members.
    #[contract(default = Type::Custom)]
    pub r#type: Type,
    /// For `external`: identifier of the group at the identity provider, such as `aad://tenant/groups/id`.
    pub external_id: Option<String>,
}

/// Who keeps a group's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// Administrators, by hand.
    Custom,
    /// Portico.
    System,
    /// An identity provider.
    External,
}

/// `expandGroups=true` of a list: items show their groups. The SQL joins the groups `g` with the row `t`.
macro_rules! shown {
    ($joined:literal) => {
        engine::ListParameter {
            name: "expandGroups",
            summary: "Whether items show their groups.",
            effect: engine::ListEffect::Add(
                "groups",
                concat!(
                    "(SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('displayName', g.display_name, \
                     'description', g.description, 'builtIn', g.built_in, 'type', g.type, 'externalId', g.external_id)) \
                     ORDER BY lower(g.name)), '[]') FROM groups g JOIN ",
                    $joined,
                    ")"
                ),
            ),
        }
    };
}
pub(crate) use shown;

/// The kind.
pub struct Group;

impl Resource for Group {
    type Parent = Service;
    type Contract = GroupContract;
    const TITLE: &'static str = "Group";
    const SEGMENT: &'static str = "groups";
    const PARAMETER: &'static str = "groupId";
    const TABLE: &'static str = "groups";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
        Filter::equal("externalId", "external_id"),
    ];

    fn example() -> Value {
        json!({"displayName": "Partners", "description": "Developers of partner companies.", "type": "custom"})
    }

    fn validate(group: &GroupContract, violations: &mut Violations) {
        if group.r#type == Type::External && group.external_id.is_none() {
            violations.add("externalId", "is required for a group of type external");
        }
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        old: Option<&'a GroupContract>,
        new: &'a mut GroupContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match old {
                Some(old) if old.built_in => Err(built_in()),
                _ if new.r#type == Type::System => Err(Error::invalid(
                    "type",
                    "must be custom or external; system groups come with the service",
                )),
                _ => Ok(()),
            }
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a GroupContract>,
        new: &'a GroupContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match old {
                Some(old) if old.display_name != new.display_name => members_changed(cx).await,
                _ => Ok(()),
            }
        })
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, old: &'a GroupContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.built_in {
                Err(built_in())
            } else {
                members_changed(cx).await
            }
        })
    }
}

/// Policies see the groups of the caller's user, so the members change with their group.
async fn members_changed(cx: &mut Cx<'_>) -> Result<()> {
    let members: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT user_id FROM group_users WHERE group_id = $1")
            .bind(cx.id)
            .fetch_all(&mut *cx.conn)
            .await?;
    for id in members {
        cx.changed("users", id);
    }
    Ok(())
}

fn built_in() -> Error {
    Error::invalid(
        "groupId",
        "names a system group, which cannot be changed or deleted",
    )
}

/// Members of system groups follow from what people are: guests are those without an account, and the
/// administrator stays one.
///
/// # Errors
/// When the edit breaks these rules.
pub fn membership(edit: Edit<'_>) -> Result<()> {
    match (edit.parent, edit.added) {
        ("guests", _) => Err(Error::invalid(
            "groupId",
            "names the group of people without an account; it has no members",
        )),
        ("administrators", false) if edit.target == "1" => Err(Error::invalid(
            "userId",
            "names the service's administrator, who stays in this group",
        )),
        _ => Ok(()),
    }
}
