//! Accounts: sign-in and out, sign-up with a confirmed address, a forgotten password, the profile.

use super::{
    Portal, accepted, answered, answered_to_developer,
    content::Presentation,
    fresh,
    session::{self, Developer, Me, digest_of},
};
use crate::{State, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use engine::{Error, Method, Result, audit};
use identity::password;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

const SIGN_UP: &str = "confirmSignUpIdentityDefault";
const RESET: &str = "passwordResetIdentityDefault";
const INVITE: &str = "inviteUserNotificationMessage";
const NEW_ADDRESS: &str = "emailChangeIdentityDefault";
/// `user_tickets.purpose` of a token that was used to sign in once.
const SIGNED_ON: &str = "signed on";

/// Who is signed in; `{}` for a visitor, which is no error.
pub(super) async fn me(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let developer = Developer::of(&state, &http, &portal).await?;
        Ok(fresh(&developer.map_or_else(Me::default, Me::from)))
    })
    .await
}

/// An e-mail address and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
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
        let stored: Option<(Option<String>, String, Uuid)> = sqlx::query_as(
            "SELECT password_hash, state, id FROM users WHERE parent_id = $1 AND lower(email) = lower($2)",
        )
        .bind(portal.id)
        .bind(&given.email)
        .fetch_optional(&state.engine.pool)
        .await?;
        let (hash, account, user) = stored.unwrap_or_default();
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
        signed_in(&state, &http, &portal, user).await
    })
    .await
}

async fn signed_in(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    user: Uuid,
) -> Result<HttpResponse> {
    let cookie = Developer::begin(state, http, portal, user).await?;
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie)
        .finish())
}

/// The token of a URL that `users/{id}/generateSsoUrl` gave.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignOnToken {
    token: String,
}

pub(super) async fn single_sign_on(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: SignOnToken = parsed(&body)?;
        let user = owner_of(&state, &portal, &given.token).await?;
        // Each token counts once, wherever else it was seen.
        let first = sqlx::query(
            "INSERT INTO user_tickets (digest, service_id, user_id, email, purpose, expires_at, used_at) \
             SELECT $1, $2, id, email, $4, $5, $6 FROM users WHERE id = $3 ON CONFLICT (digest) DO NOTHING",
        )
        .bind(digest_of(&given.token))
        .bind(portal.id)
        .bind(user)
        .bind(SIGNED_ON)
        // No token is good for longer.
        .bind(state.engine.now() + chrono::Duration::days(31))
        .bind(state.engine.now())
        .execute(&state.engine.pool)
        .await?;
        if first.rows_affected() != 1 {
            return Err(Error::Unauthenticated("The link was used already.".into()));
        }
        signed_in(&state, &http, &portal, user).await
    })
    .await
}

/// Whose token it is: signed under a key of the service's tenant access, for an account that may sign in.
async fn owner_of(state: &State, portal: &Portal, token: &str) -> Result<Uuid> {
    let refused = || Error::Unauthenticated("The link is not valid, or too old.".into());
    let signature = identity::sas::parse_token(token).map_err(|_| refused())?;
    let keys: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT primary_key, secondary_key FROM tenant_access WHERE parent_id = $1 AND name = 'access'",
    )
    .bind(portal.id)
    .fetch_optional(&state.engine.pool)
    .await?;
    let (primary, secondary) = keys.ok_or_else(refused)?;
    let now = state.engine.now();
    let mut holds = false;
    for sealed in [primary, secondary] {
        let key = state.engine.codec.open(&sealed)?;
        holds |= identity::sas::verify_user(&signature, key.expose(), now);
    }
    if !holds {
        return Err(refused());
    }
    sqlx::query_scalar(
        "SELECT id FROM users WHERE parent_id = $1 AND lower(name) = lower($2) AND state = 'active'",
    )
    .bind(portal.id)
    .bind(&signature.uid)
    .fetch_optional(&state.engine.pool)
    .await?
    .ok_or_else(refused)
}

pub(super) async fn sign_out(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let cookie = Developer::end(&state, &http, &portal).await?;
        Ok(HttpResponse::NoContent().cookie(cookie).finish())
    })
    .await
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SignUp {
    first_name: String,
    last_name: String,
    email: String,
    password: String,
    /// Whether the terms are accepted.
    #[serde(default)]
    consent: bool,
}

/// Answers the same whether the address has an account or not: its owner learns it by mail.
pub(super) async fn sign_up(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: SignUp = parsed(&body)?;
        let shown = Presentation::of(&state, &portal).await?;
        if !shown.sign_up_enabled {
            return Err(Error::Conflict("Signing up is not possible here.".into()));
        }
        if shown.requires_consent() && !given.consent {
            return Err(Error::invalid("consent", "to the terms is required"));
        }
        let portal = portal.acted_in_by(&given.email);
        session::attempt(&state, &portal, &format!("sign-up {}", given.email)).await?;
        if mail_reset(&state, &http, &portal, &given.email).await? {
            return Ok(HttpResponse::Accepted().finish());
        }
        let properties = json!({"properties": {
            "firstName": given.first_name, "lastName": given.last_name, "email": given.email,
            "password": given.password, "state": "pending", "confirmation": "signup",
        }});
        let name = state.engine.new_id().simple().to_string();
        let below = format!("/users/{name}");
        accepted(
            portal
                .ask(&state, &http, Method::Put, &below, Some(properties))
                .await?,
        )?;
        if given.consent {
            let id: Uuid =
                sqlx::query_scalar("SELECT id FROM users WHERE parent_id = $1 AND name = $2")
                    .bind(portal.id)
                    .bind(&name)
                    .fetch_one(&state.engine.pool)
                    .await?;
            note_consent(&state, &shown, id).await?;
        }
        Ok(HttpResponse::Accepted().finish())
    })
    .await
}

/// Notes which text of the terms was accepted, and when.
pub(super) async fn note_consent(state: &State, shown: &Presentation, user: Uuid) -> Result<()> {
    let Some(terms) = &shown.terms else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO terms_consents (user_id, digest, accepted_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, accepted_at = excluded.accepted_at",
    )
    .bind(user)
    .bind(digest_of(terms))
    .bind(state.engine.now())
    .execute(&state.engine.pool)
    .await?;
    Ok(())
}

/// Whose password is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
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
        Ok(HttpResponse::Accepted().finish())
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

/// The ticket of a mailed link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
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

async fn open(state: &State, portal: &Portal, ticket: &str) -> Result<Open> {
    sqlx::query_as(
        "SELECT t.email, t.purpose, u.id AS user_id, u.name, u.state FROM user_tickets t \
         JOIN users u ON u.id = t.user_id \
         WHERE t.digest = $1 AND t.service_id = $2 AND t.used_at IS NULL AND t.expires_at > $3 \
         AND t.purpose IN ($4, $5, $6, $7) AND u.state IN ('active', 'pending')",
    )
    .bind(digest_of(ticket))
    .bind(portal.id)
    .bind(state.engine.now())
    .bind(SIGN_UP)
    .bind(RESET)
    .bind(INVITE)
    .bind(NEW_ADDRESS)
    .fetch_optional(&state.engine.pool)
    .await?
    .ok_or_else(|| Error::invalid("ticket", "is unknown, used or too old; ask for a new mail"))
}

impl Open {
    fn needs_password(&self) -> bool {
        self.purpose != SIGN_UP && self.purpose != NEW_ADDRESS
    }
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

/// Records a new password of the user `name`, in the transaction that sets it.
async fn record_password(
    conn: &mut PgConnection,
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    name: &str,
    email: &str,
) -> Result<()> {
    audit::Event {
        service: Some(portal.id),
        caller: email,
        address: &crate::client_address::of(http).to_string(),
        request_id: &crate::request_id::of(http),
        action: "Microsoft.ApiManagement/service/users/password/write",
        resource: &format!("{}/users/{name}", portal.path()),
        ..audit::Event::default()
    }
    .record(conn, state.engine.new_id(), state.engine.now())
    .await
}

/// What a mailed link is for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketDescription {
    /// Where the link was sent.
    email: String,
    /// Whether redeeming it needs a new password.
    needs_password: bool,
}

pub(super) async fn ticket(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let given: Ticket = parsed(&body)?;
        let open = open(&state, &portal, &given.ticket).await?;
        Ok(fresh(&TicketDescription {
            needs_password: open.needs_password(),
            email: open.email,
        }))
    })
    .await
}

/// A link was redeemed.
#[derive(Serialize, ToSchema)]
pub struct Confirmed {
    email: String,
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
        let hash = if open.needs_password() {
            Some(hashed("password", given.password).await?)
        } else {
            None
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
            set_password(&mut tx, &state, open.user_id, Some(hash)).await?;
            session::end_all(&mut tx, open.user_id, &digest_of(&given.ticket)).await?;
            record_password(&mut tx, &state, &http, &portal, &open.name, &open.email).await?;
        }
        tx.commit().await?;
        if open.purpose == NEW_ADDRESS {
            let below = format!("/users/{}", open.name);
            let address = json!({"properties": {"email": open.email}});
            accepted(
                portal
                    .ask(&state, &http, Method::Patch, &below, Some(address))
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
        let cookie = Developer::begin(&state, &http, &portal, open.user_id).await?;
        let mut reply = fresh(&Confirmed { email: open.email });
        reply.add_cookie(&cookie).map_err(Error::internal)?;
        Ok(reply)
    })
    .await
}

/// Names of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Profile {
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

/// The hash of a new password, if it is good enough.
async fn hashed(field: &str, new: Option<String>) -> Result<String> {
    let new = new.ok_or_else(|| Error::invalid(field, "is required"))?;
    let mut violations = engine::Violations::default();
    for problem in password::problems(&new) {
        violations.add(field, problem);
    }
    violations.into_result()?;
    password::hash(new).await.map_err(Error::internal)
}

async fn set_password(
    conn: &mut PgConnection,
    state: &State,
    user: Uuid,
    hash: Option<String>,
) -> Result<()> {
    sqlx::query(
        "UPDATE users SET password_hash = $2, rev = rev + 1, updated_at = $3 WHERE id = $1",
    )
    .bind(user)
    .bind(hash)
    .bind(state.engine.now())
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the password of an account whose address nobody had proved, and every link that was mailed for it.
pub(super) async fn forget_password(
    conn: &mut PgConnection,
    state: &State,
    user: Uuid,
) -> Result<()> {
    set_password(conn, state, user, None).await?;
    session::end_all(conn, user, &[]).await
}

/// Makes sure that it is the owner who sits there, where the account has a password.
async fn proven(
    state: &State,
    portal: &Portal,
    developer: &Developer,
    given: Option<String>,
) -> Result<()> {
    if !developer.has_password {
        return Ok(());
    }
    let given = given.ok_or_else(|| Error::invalid("password", "is required"))?;
    session::attempt(state, portal, &developer.email).await?;
    let hash: Option<String> = sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1")
        .bind(developer.id)
        .fetch_one(&state.engine.pool)
        .await?;
    if !password::verify(given, hash)
        .await
        .map_err(Error::internal)?
    {
        return Err(Error::invalid("password", "is wrong"));
    }
    session::succeeded(state, portal, &developer.email).await
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PasswordChange {
    /// The present one, where the account has one.
    password: Option<String>,
    new_password: String,
}

pub(super) async fn change_password(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: PasswordChange = parsed(&body)?;
        proven(&state, &portal, &developer, given.password).await?;
        let hash = hashed("newPassword", Some(given.new_password)).await?;
        let mut tx = state.engine.pool.begin().await?;
        set_password(&mut tx, &state, developer.id, Some(hash)).await?;
        session::end_all(&mut tx, developer.id, &developer.session).await?;
        let (name, email) = (&developer.name, &developer.email);
        record_password(&mut tx, &state, &http, &portal, name, email).await?;
        tx.commit().await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// A change of the address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailChange {
    email: String,
    /// The password, where the account has one.
    password: Option<String>,
}

/// Answers the same whether the new address has an account or not; it is refused when the link is redeemed.
pub(super) async fn change_email(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: EmailChange = parsed(&body)?;
        proven(&state, &portal, &developer, given.password).await?;
        session::attempt(&state, &portal, &format!("email {}", given.email)).await?;
        let below = format!("/users/{}/confirmations/email/send", developer.name);
        let body = json!({"email": given.email});
        accepted(
            portal
                .ask(&state, &http, Method::Post, &below, Some(body))
                .await?,
        )?;
        Ok(HttpResponse::Accepted().finish())
    })
    .await
}

/// The end of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The account's address, so that nobody closes one by accident.
    email: String,
    /// The password, where the account has one.
    password: Option<String>,
}

pub(super) async fn close(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: Closing = parsed(&body)?;
        if !given.email.trim().eq_ignore_ascii_case(&developer.email) {
            return Err(Error::invalid("email", "must be the account's address"));
        }
        proven(&state, &portal, &developer, given.password).await?;
        let below = format!("/users/{}", developer.name);
        let consequences = [("deleteSubscriptions", "true"), ("notify", "true")];
        accepted(
            portal
                .ask_with(&state, &http, Method::Delete, &below, &consequences, None)
                .await?,
        )?;
        let cookie = Developer::end(&state, &http, &portal).await?;
        Ok(HttpResponse::NoContent().cookie(cookie).finish())
    })
    .await
}
