//! Accounts: sign-in and out, sign-up with a confirmed address, a forgotten password, the profile.

use super::{
    Portal, accepted, answered, answered_to_developer, fresh,
    session::{self, Developer, digest_of},
};
use crate::{State, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, web};
use engine::{Error, Method, Result, audit};
use identity::password;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

const SIGN_UP: &str = "confirmSignUpIdentityDefault";
const RESET: &str = "passwordResetIdentityDefault";
const INVITE: &str = "inviteUserNotificationMessage";
const NEW_EMAIL: &str = "emailChangeIdentityDefault";

fn described(developer: &Developer) -> Value {
    json!({
        "userId": developer.name,
        "firstName": developer.first_name,
        "lastName": developer.last_name,
        "email": developer.email,
    })
}

/// Who is signed in; `{}` for a visitor, which is no error.
pub(super) async fn me(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let developer = Developer::of(&state, &http, &portal).await?;
        Ok(fresh(
            &developer.as_ref().map_or_else(|| json!({}), described),
        ))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
}

pub(super) async fn sign_in(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: SignIn = parsed(&body)?;
        session::attempt(&state, &portal, &given.email).await?;
        let stored: Option<(Option<String>, String)> = sqlx::query_as(
            "SELECT password_hash, state FROM users WHERE parent_id = $1 AND lower(email) = lower($2)",
        )
        .bind(portal.id)
        .bind(&given.email)
        .fetch_optional(&state.engine.pool)
        .await?;
        let (hash, account) = stored.unwrap_or_default();
        let right = password::verify(given.password, hash)
            .await
            .map_err(Error::internal)?;
        record_sign_in(&state, &http, &portal, &given.email, right).await?;
        if !right {
            return Err(Error::Unauthenticated(
                "The e-mail address or the password is wrong.".into(),
            ));
        }
        session::succeeded(&state, &portal, &given.email).await?;
        // Only who knows the password learns about the account.
        match account.as_str() {
            "active" => {}
            "pending" => {
                return Err(Error::Unauthenticated(
                    "The e-mail address is not confirmed yet: open the link in the mail.".into(),
                ));
            }
            _ => return Err(Error::Unauthenticated("The account is blocked.".into())),
        }
        let cookie = Developer::begin(&state, &http, &portal, &given.email).await?;
        let mut reply = fresh(&json!({}));
        reply.add_cookie(&cookie).map_err(Error::internal)?;
        Ok(reply)
    })
    .await
}

pub(super) async fn sign_out(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let cookie = Developer::end(&state, &http, &portal).await?;
        Ok(HttpResponse::NoContent().cookie(cookie).finish())
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SignUp {
    first_name: String,
    last_name: String,
    email: String,
    password: String,
}

/// Answers the same whether the address has an account or not: its owner learns it by mail.
pub(super) async fn sign_up(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: SignUp = parsed(&body)?;
        let portal = portal.acted_in_by(&given.email);
        session::attempt(&state, &portal, &format!("sign-up {}", given.email)).await?;
        if mail_reset(&state, &http, &portal, &given.email).await? {
            return Ok(HttpResponse::Accepted().json(json!({})));
        }
        let properties = json!({"properties": {
            "firstName": given.first_name, "lastName": given.last_name, "email": given.email,
            "password": given.password, "state": "pending", "confirmation": "signup",
        }});
        let below = format!("/users/{}", state.engine.new_id().simple());
        accepted(
            portal
                .ask(&state, &http, Method::Put, &below, Some(properties))
                .await?,
        )?;
        Ok(HttpResponse::Accepted().json(json!({})))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    email: String,
}

pub(super) async fn reset(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: Reset = parsed(&body)?;
        let portal = portal.acted_in_by(&given.email);
        // Each attempt may send a mail.
        session::attempt(&state, &portal, &format!("reset {}", given.email)).await?;
        mail_reset(&state, &http, &portal, &given.email).await?;
        Ok(HttpResponse::Accepted().json(json!({})))
    })
    .await
}

/// Mails a link for a new password, if there is an account that may have one.
async fn mail_reset(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    email: &str,
) -> Result<bool> {
    let user: Option<(String, String)> = sqlx::query_as(
        "SELECT name, state FROM users WHERE parent_id = $1 AND lower(email) = lower($2)",
    )
    .bind(portal.id)
    .bind(email)
    .fetch_optional(&state.engine.pool)
    .await?;
    let Some((name, account)) = user else {
        return Ok(false);
    };
    if account == "active" || account == "pending" {
        let below = format!("/users/{name}/confirmations/password/send");
        accepted(portal.ask(state, http, Method::Post, &below, None).await?)?;
    }
    Ok(true)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    ticket: String,
    /// The new password, where the ticket is for one.
    password: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Open {
    email: String,
    purpose: String,
    user_id: Uuid,
    name: String,
    state: String,
}

impl Open {
    /// Whether redeeming the ticket sets a new password.
    fn needs_password(&self) -> bool {
        self.purpose == RESET || self.purpose == INVITE
    }
}

async fn open(state: &State, portal: &Portal, ticket: &str) -> Result<Open> {
    sqlx::query_as(
        "SELECT t.email, t.purpose, u.id AS user_id, u.name, u.state FROM user_tickets t \
         JOIN users u ON u.parent_id = t.service_id AND (u.id = t.user_id OR (t.user_id IS NULL AND lower(u.email) = lower(t.email))) \
         WHERE t.digest = $1 AND t.service_id = $2 AND t.used_at IS NULL AND t.expires_at > $3 \
         AND t.purpose IN ($4, $5, $6, $7) AND u.state IN ('active', 'pending')",
    )
    .bind(digest_of(ticket))
    .bind(portal.id)
    .bind(state.engine.now())
    .bind(SIGN_UP)
    .bind(RESET)
    .bind(INVITE)
    .bind(NEW_EMAIL)
    .fetch_optional(&state.engine.pool)
    .await?
    .ok_or_else(|| Error::invalid("ticket", "is unknown, used or too old; ask for a new mail"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEmail {
    email: String,
    password: String,
}

/// Asks the developer's password again: whoever finds an open browser must not take the account over.
async fn proved(
    state: &State,
    portal: &Portal,
    developer: &Developer,
    password: String,
) -> Result<()> {
    session::attempt(state, portal, &developer.email).await?;
    let hash: Option<String> = sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1")
        .bind(developer.id)
        .fetch_one(&state.engine.pool)
        .await?;
    if !password::verify(password, hash)
        .await
        .map_err(Error::internal)?
    {
        return Err(Error::invalid("password", "is wrong"));
    }
    session::succeeded(state, portal, &developer.email).await
}

/// Mails a link to the new address; the address changes when it is opened.
pub(super) async fn change_email(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: NewEmail = parsed(&body)?;
        kinds::notify::check_address(&given.email).map_err(|why| Error::invalid("email", why))?;
        proved(&state, &portal, &developer, given.password).await?;
        let below = format!("/users/{}/confirmations/email/send", developer.name);
        let address = json!({"email": given.email});
        accepted(
            portal
                .ask(&state, &http, Method::Post, &below, Some(address))
                .await?,
        )?;
        Ok(HttpResponse::Accepted().json(json!({})))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    password: String,
}

/// Closes the account, with its subscriptions; an administrator can restore it for thirty days.
pub(super) async fn close(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: Close = parsed(&body)?;
        proved(&state, &portal, &developer, given.password).await?;
        let below = format!(
            "/users/{}?deleteSubscriptions=true&notify=true",
            developer.name
        );
        accepted(
            portal
                .ask(&state, &http, Method::Delete, &below, None)
                .await?,
        )?;
        let cookie = Developer::end(&state, &http, &portal).await?;
        Ok(HttpResponse::NoContent().cookie(cookie).finish())
    })
    .await
}

/// Records a sign-in to the portal, or the failure of one.
async fn record_sign_in(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    email: &str,
    right: bool,
) -> Result<()> {
    // Bounded, because strangers choose it.
    let email: String = email.chars().take(254).collect();
    audit::Event {
        service: Some(portal.id),
        caller: &email,
        address: &crate::client_address::of(http).to_string(),
        request_id: &crate::request_id::of(http),
        action: if right {
            "Microsoft.ApiManagement/service/portal/signIn/action"
        } else {
            "Microsoft.ApiManagement/service/portal/failedSignIn/action"
        },
        resource: &portal.path(),
        ..audit::Event::default()
    }
    .record(
        &mut *state.engine.pool.acquire().await?,
        state.engine.new_id(),
        state.engine.now(),
    )
    .await
}

/// What a mailed link is for.
pub(super) async fn ticket(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: Ticket = parsed(&body)?;
        let open = open(&state, &portal, &given.ticket).await?;
        Ok(fresh(
            &json!({"email": open.email, "needsPassword": open.needs_password()}),
        ))
    })
    .await
}

/// Redeems a mailed link: its reader has the address. Signs in.
pub(super) async fn confirm(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: Ticket = parsed(&body)?;
        let open = open(&state, &portal, &given.ticket).await?;
        let portal = portal.acted_in_by(&open.email);
        let hash = if !open.needs_password() {
            None
        } else {
            let new = given
                .password
                .ok_or_else(|| Error::invalid("password", "is required"))?;
            let mut violations = engine::Violations::default();
            for problem in password::problems(&new) {
                violations.add("password", problem);
            }
            violations.into_result()?;
            Some(password::hash(new).await.map_err(Error::internal)?)
        };
        let mut tx = state.engine.pool.begin().await?;
        // The condition lets only one of two readers redeem it.
        let taken = sqlx::query(
            "UPDATE user_tickets SET used_at = $2 WHERE digest = $1 AND used_at IS NULL",
        )
        .bind(digest_of(&given.ticket))
        .bind(state.engine.now())
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() != 1 {
            return Err(Error::invalid("ticket", "is used"));
        }
        if let Some(hash) = hash {
            sqlx::query(
                "UPDATE users SET password_hash = $2, rev = rev + 1, updated_at = $3 WHERE id = $1",
            )
            .bind(open.user_id)
            .bind(hash)
            .bind(state.engine.now())
            .execute(&mut *tx)
            .await?;
            session::end_all(&mut tx, &portal, &open.email).await?;
            let resource = format!("{}/users/{}", portal.path(), open.name);
            audit::Event {
                service: Some(portal.id),
                caller: &open.email,
                address: &crate::client_address::of(&http).to_string(),
                request_id: &crate::request_id::of(&http),
                action: "Microsoft.ApiManagement/service/users/password/write",
                resource: &resource,
                ..audit::Event::default()
            }
            .record(&mut tx, state.engine.new_id(), state.engine.now())
            .await?;
        }
        tx.commit().await?;
        if open.purpose == NEW_EMAIL {
            let below = format!("/users/{}", open.name);
            let moved = json!({"properties": {"email": open.email}});
            accepted(
                portal
                    .ask(&state, &http, Method::Patch, &below, Some(moved))
                    .await?,
            )?;
        }
        if open.state == "pending" {
            let below = format!("/users/{}", open.name);
            let active = json!({"properties": {"state": "active"}});
            accepted(
                portal
                    .ask(&state, &http, Method::Patch, &below, Some(active))
                    .await?,
            )?;
        }
        let cookie = Developer::begin(&state, &http, &portal, &open.email).await?;
        let mut reply = fresh(&json!({"email": open.email}));
        reply.add_cookie(&cookie).map_err(Error::internal)?;
        Ok(reply)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Profile {
    first_name: String,
    last_name: String,
}

pub(super) async fn profile(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: Profile = parsed(&body)?;
        let below = format!("/users/{}", developer.name);
        let properties =
            json!({"properties": {"firstName": given.first_name, "lastName": given.last_name}});
        accepted(
            portal
                .ask(&state, &http, Method::Patch, &below, Some(properties))
                .await?,
        )?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}
