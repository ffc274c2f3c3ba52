//! A developer's own usage, from the counts that the gateways write.

use super::{answered_to_developer, catalogue, fresh};
use crate::State;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use engine::Error;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// Longest time that is looked back.
const MOST_DAYS: i64 = 90;

/// Calls of a developer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// Length of the interval that each point stands for.
    interval_seconds: i64,
    /// Every interval from the first to the last, also those without calls.
    points: Vec<Point>,
    apis: Vec<ApiUsage>,
}

/// What was called in an interval.
#[derive(FromRow, Serialize, ToSchema)]
pub struct Point {
    at: DateTime<Utc>,
    calls: i64,
    /// Refused: a limit, a missing key, a policy.
    blocked: i64,
    /// Answered with another error.
    failed: i64,
    /// Of requests and replies together.
    bytes: i64,
}

/// What was called of an API.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiUsage {
    /// Absent for an API that is gone.
    name: Option<String>,
    display_name: Option<String>,
    calls: i64,
    blocked: i64,
    failed: i64,
    bytes: i64,
}

const SUMS: &str = "coalesce(sum(c.success + c.blocked + c.failed + c.other), 0)::int8 AS calls, \
     coalesce(sum(c.blocked), 0)::int8 AS blocked, coalesce(sum(c.failed), 0)::int8 AS failed, \
     coalesce(sum(c.bytes), 0)::int8 AS bytes";

pub(super) async fn get(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let days = match catalogue::query(&http, "days") {
            None => 7,
            Some(text) => text
                .parse::<i64>()
                .ok()
                .filter(|days| (1..=MOST_DAYS).contains(days))
                .ok_or_else(|| Error::invalid("days", format!("must be 1 to {MOST_DAYS}")))?,
        };
        let interval = TimeDelta::hours(match days {
            1 => 1,
            2..=7 => 6,
            _ => 24,
        });
        // The running interval is the last point.
        let to = state
            .engine
            .now()
            .duration_trunc(interval)
            .map_err(Error::internal)?
            + interval;
        let from = to - TimeDelta::days(days);
        let sql = format!(
            "SELECT p.at, {SUMS} FROM generate_series($3::timestamptz, $4::timestamptz - $5, $5) AS p (at) \
             LEFT JOIN call_counts c ON c.service_id = $1 AND c.user_id = $2 AND c.period_start >= p.at AND c.period_start < p.at + $5 \
             GROUP BY p.at ORDER BY p.at"
        );
        let points = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(developer.id)
            .bind(from)
            .bind(to)
            .bind(interval)
            .fetch_all(&state.engine.pool)
            .await?;
        let sql = format!(
            "SELECT a.name, a.display_name, {SUMS} FROM call_counts c LEFT JOIN apis r ON r.id = c.api_id \
             LEFT JOIN apis a ON a.root_id = r.root_id AND a.is_current \
             WHERE c.service_id = $1 AND c.user_id = $2 AND c.period_start >= $3 AND c.period_start < $4 \
             GROUP BY a.id, a.name, a.display_name ORDER BY calls DESC, a.name LIMIT 100"
        );
        let apis = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(developer.id)
            .bind(from)
            .bind(to)
            .fetch_all(&state.engine.pool)
            .await?;
        Ok(fresh(&Usage {
            from,
            to,
            interval_seconds: interval.num_seconds(),
            points,
            apis,
        }))
    })
    .await
}
