//! What developers report about an API, and what is said about it.

use super::{Portal, accepted, answered_to_developer, catalogue, fresh, session::Developer};
use crate::{State, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use engine::{Error, Method, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// Issues `i` that the user `$2` may see: what the publisher opened, and his own unless the publisher removed them.
const VISIBLE: &str =
    "(i.state IN ('open', 'resolved', 'closed') OR (i.user_id = $2 AND i.state <> 'removed'))";

/// An issue.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    name: String,
    title: String,
    description: String,
    /// `proposed`, `open`, `resolved` or `closed`.
    state: String,
    created_date: DateTime<Utc>,
    /// First and last name of who reported it.
    author: String,
    /// Whether the caller reported it.
    is_own: bool,
    comments: i64,
}

/// Issues, newest first.
#[derive(Serialize, ToSchema)]
pub struct IssueList {
    value: Vec<Issue>,
}

/// A comment.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comment {
    name: String,
    text: String,
    created_date: DateTime<Utc>,
    author: String,
}

/// Comments, oldest first.
#[derive(Serialize, ToSchema)]
pub struct CommentList {
    value: Vec<Comment>,
}

/// What was made.
#[derive(Serialize, ToSchema)]
pub struct Created {
    name: String,
}

/// A report.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIssue {
    title: String,
    description: String,
}

/// A comment to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewComment {
    text: String,
}

/// Most rows of a list.
const LIST_LIMIT: i64 = 200;

pub(super) async fn list(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let api = catalogue::visible_api(&state, &http, &portal, Some(developer.id)).await?;
        let sql = format!(
            "SELECT i.name, i.title, i.description, i.state, i.created_date, u.first_name || ' ' || u.last_name AS author, \
             i.user_id = $2 AS is_own, (SELECT count(*) FROM issue_comments c WHERE c.parent_id = i.id) AS comments \
             FROM issues i JOIN users u ON u.id = i.user_id WHERE i.parent_id = $1 AND {VISIBLE} \
             ORDER BY i.created_date DESC, i.name LIMIT $3"
        );
        let value: Vec<Issue> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(api.root_id)
            .bind(developer.id)
            .bind(LIST_LIMIT)
            .fetch_all(&state.engine.pool)
            .await?;
        Ok(fresh(&IssueList { value }))
    })
    .await
}

pub(super) async fn create(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: NewIssue = parsed(&body)?;
        let api = catalogue::visible_api(&state, &http, &portal, Some(developer.id)).await?;
        let name = state.engine.new_id().simple().to_string();
        let properties = json!({"properties": {
            "title": given.title, "description": given.description, "userId": format!("/users/{}", developer.name),
        }});
        let below = format!("/apis/{}/issues/{name}", api.name);
        accepted(portal.ask(&state, &http, Method::Put, &below, Some(properties)).await?)?;
        Ok(HttpResponse::Created().json(Created { name }))
    })
    .await
}

/// The addressed issue and the path to it, if the developer may see it.
async fn visible(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    developer: &Developer,
) -> Result<(Uuid, String)> {
    let api = catalogue::visible_api(state, http, portal, Some(developer.id)).await?;
    let sql = format!(
        "SELECT i.id, i.name FROM issues i WHERE i.parent_id = $1 AND {VISIBLE} AND lower(i.name) = lower($3)"
    );
    let (id, name): (Uuid, String) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(api.root_id)
        .bind(developer.id)
        .bind(http.match_info().get("issue").unwrap_or_default())
        .fetch_optional(&state.engine.pool)
        .await?
        .ok_or_else(|| Error::not_found("Issue"))?;
    Ok((id, format!("/apis/{}/issues/{name}", api.name)))
}

pub(super) async fn comments(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let (issue, _) = visible(&state, &http, &portal, &developer).await?;
        let value: Vec<Comment> = sqlx::query_as(
            "SELECT c.name, c.text, c.created_date, u.first_name || ' ' || u.last_name AS author FROM issue_comments c \
             JOIN users u ON u.id = c.user_id WHERE c.parent_id = $1 ORDER BY c.created_date, c.name LIMIT $2",
        )
        .bind(issue)
        .bind(LIST_LIMIT)
        .fetch_all(&state.engine.pool)
        .await?;
        Ok(fresh(&CommentList { value }))
    })
    .await
}

pub(super) async fn comment(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: NewComment = parsed(&body)?;
        let (_, issue) = visible(&state, &http, &portal, &developer).await?;
        let name = state.engine.new_id().simple().to_string();
        let properties = json!({"properties": {"text": given.text, "userId": format!("/users/{}", developer.name)}});
        let below = format!("{issue}/comments/{name}");
        accepted(portal.ask(&state, &http, Method::Put, &below, Some(properties)).await?)?;
        Ok(HttpResponse::Created().json(Created { name }))
    })
    .await
}
