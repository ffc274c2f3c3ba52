//! Issues that developers report about an API, with comments and attachments.

use crate::{api::Api, notify, service::Service};
use chrono::{DateTime, Utc};
use engine::{
    BoxFuture, Contract, Cx, Filter, ListEffect, ListParameter, NameRule, Ref, Resource, Result,
    TextColumn, Value, Verbs, Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An issue.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct IssueContract {
    /// When it was reported.
    #[contract(default = DateTime::<Utc>::UNIX_EPOCH, kept)]
    pub created_date: DateTime<Utc>,
    /// What became of it.
    #[contract(default = State::Proposed, kept)]
    pub state: State,
    /// The API's resource id.
    pub api_id: Option<String>,
    /// Title.
    pub title: String,
    /// Text.
    pub description: String,
    /// Who reported it.
    #[contract(reference = "users")]
    pub user_id: Ref,
}

/// What became of an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// New.
    Proposed,
    /// Accepted.
    Open,
    /// Hidden.
    Removed,
    /// Solved.
    Resolved,
    /// Ended.
    Closed,
}

/// The kind.
pub struct Issue;

impl Resource for Issue {
    type Parent = Api;
    type Contract = IssueContract;
    const TITLE: &'static str = "ApiIssue";
    const NOUN: &'static str = "Issue";
    const SEGMENT: &'static str = "issues";
    const PARAMETER: &'static str = "issueId";
    const TABLE: &'static str = "issues";
    const OF_ALL_REVISIONS: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const LIST_PARAMETERS: &'static [ListParameter] = &[
        ListParameter {
            name: "expandCommentsAttachments",
            summary: "Whether issues show their comments.",
            effect: ListEffect::Add(
                "comments",
                "(SELECT coalesce(jsonb_agg(jsonb_build_object('text', c.text, 'createdDate', \
                 to_char(c.created_date AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'userId', '/users/' || u.name) \
                 ORDER BY c.created_date, lower(c.name)), '[]') FROM issue_comments c JOIN users u ON u.id = c.user_id \
                 WHERE c.parent_id = t.id)",
            ),
        },
        ListParameter {
            name: "expandCommentsAttachments",
            summary: "Whether issues show their attachments.",
            effect: ListEffect::Add(
                "attachments",
                "(SELECT coalesce(jsonb_agg(jsonb_build_object('title', c.title, 'contentFormat', c.content_format, \
                 'content', c.content) ORDER BY lower(c.name)), '[]') FROM issue_attachments c WHERE c.parent_id = t.id)",
            ),
        },
    ];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("title", "title"),
        Filter::text("description", "description"),
        Filter::equal("state", "state"),
        Filter::reference("userId", "user_id", "users"),
    ];

    fn example() -> Value {
        json!({"title": "Wrong hash", "description": "The third feature is off by one.", "userId": "/users/1", "state": "open"})
    }

    fn validate(issue: &IssueContract, violations: &mut Violations) {
        for (field, text) in [("title", &issue.title), ("description", &issue.description)] {
            if text.trim().is_empty() {
                violations.add(field, "must not be empty");
            }
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a IssueContract>,
        new: &'a mut IssueContract,
    ) -> BoxFuture<'a, Result<()>> {
        if new.created_date == DateTime::<Utc>::UNIX_EPOCH {
            new.created_date = cx.now;
        }
        engine::ok()
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a IssueContract>,
        new: &'a IssueContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match (old, new.user_id.id) {
                (None, Some(author)) => {
                    let about = notify::Issue {
                        name: cx.name.clone(),
                        title: new.title.clone(),
                        author,
                    };
                    notify::issue_reported(cx, &about, &new.description).await
                }
                _ => Ok(()),
            }
        })
    }
}

/// The issues of all APIs of a service: the same rows, to be read only.
pub struct ServiceIssue;

impl Resource for ServiceIssue {
    type Parent = Service;
    type Contract = IssueContract;
    const TITLE: &'static str = "Issue";
    const SEGMENT: &'static str = "issues";
    const PARAMETER: &'static str = "issueId";
    const TABLE: &'static str = "service_issues";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs::READ;
    const FILTERS: &'static [Filter] = &[
        // The names of several APIs' issues: each index has those of one.
        Filter {
            is_indexed: false,
            ..Filter::name()
        },
        Filter::text("apiId", "api_id"),
        Filter::text("title", "title"),
        Filter::text("description", "description"),
        Filter::equal("state", "state"),
    ];

    fn example() -> Value {
        Issue::example()
    }
}

/// A comment on an issue.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CommentContract {
    /// Text.
    pub text: String,
    /// When it was written.
    #[contract(default = DateTime::<Utc>::UNIX_EPOCH, kept)]
    pub created_date: DateTime<Utc>,
    /// Who wrote it.
    #[contract(reference = "users")]
    pub user_id: Ref,
}

/// The kind of comments.
pub struct Comment;

impl Resource for Comment {
    type Parent = Issue;
    type Contract = CommentContract;
    const TITLE: &'static str = "ApiIssueComment";
    const NOUN: &'static str = "Comment";
    const SEGMENT: &'static str = "comments";
    const PARAMETER: &'static str = "commentId";
    const TABLE: &'static str = "issue_comments";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("text", "text"),
        Filter::reference("userId", "user_id", "users"),
    ];

    fn example() -> Value {
        json!({"text": "Confirmed.", "userId": "/users/1"})
    }

    fn validate(comment: &CommentContract, violations: &mut Violations) {
        if comment.text.trim().is_empty() {
            violations.add("text", "must not be empty");
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a CommentContract>,
        new: &'a mut CommentContract,
    ) -> BoxFuture<'a, Result<()>> {
        if new.created_date == DateTime::<Utc>::UNIX_EPOCH {
            new.created_date = cx.now;
        }
        engine::ok()
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a CommentContract>,
        new: &'a CommentContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (None, Some(author)) = (old, new.user_id.id) else {
                return Ok(());
            };
            let issue = cx.parents.last().copied().unwrap_or_default();
            let (name, title, reporter) =
                sqlx::query_as("SELECT name, title, user_id FROM issues WHERE id = $1")
                    .bind(issue)
                    .fetch_one(&mut *cx.conn)
                    .await?;
            let about = notify::Issue {
                name,
                title,
                author: reporter,
            };
            notify::issue_commented(cx, &about, author, &new.text).await
        })
    }
}

/// An attachment of an issue.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AttachmentContract {
    /// File name.
    pub title: String,
    /// `link`, or the media type of a content that is given as base64.
    pub content_format: String,
    /// A URL, or base64.
    pub content: String,
}

/// The kind of attachments.
pub struct Attachment;

impl Resource for Attachment {
    type Parent = Issue;
    type Contract = AttachmentContract;
    const TITLE: &'static str = "ApiIssueAttachment";
    const NOUN: &'static str = "Attachment";
    const SEGMENT: &'static str = "attachments";
    const PARAMETER: &'static str = "attachmentId";
    const TABLE: &'static str = "issue_attachments";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[Filter::name(), Filter::text("title", "title")];

    fn example() -> Value {
        json!({"title": "trace.txt", "contentFormat": "text/plain;base64", "content": "aGVsbG8="})
    }

    fn validate(attachment: &AttachmentContract, violations: &mut Violations) {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        if attachment.title.trim().is_empty() {
            violations.add("title", "must not be empty");
        }
        if attachment.content_format.eq_ignore_ascii_case("link") {
            if !attachment.content.starts_with("https://")
                && !attachment.content.starts_with("http://")
            {
                violations.add("content", "must be a URL for the format link");
            }
        } else if BASE64_STANDARD.decode(&attachment.content).is_err() {
            violations.add("content", "must be base64");
        }
    }
}
