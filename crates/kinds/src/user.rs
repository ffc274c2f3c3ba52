//! Users: developers of one service, with their account.

use crate::{group, notify, recipient, service::Service, subscription};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, ActionDetail, BoxFuture, Contract, Cx, Entity, Error, Filter, Json,
    ListParameter, NameRule, Reply, Resource, Result, Secret, TextColumn, Value, Violations, json,
    sqlx, typed,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A developer's account.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UserContract {
    /// First name.
    #[contract(length(1..=100))]
    pub first_name: String,
    /// Last name.
    #[contract(length(1..=100))]
    pub last_name: String,
    /// E-mail address, unique in the service.
    #[contract(length(1..=254))]
    pub email: String,
    /// Whether the account can be used.
    #[contract(default = State::Active)]
    pub state: State,
    /// Note of the administrators.
    pub note: Option<String>,
    /// Ways to sign in.
    #[contract(default = Json(Vec::new()), kept)]
    pub identities: Json<Vec<Identity>>,
    /// When the account was made.
    #[contract(read_only)]
    pub registration_date: DateTime<Utc>,
    /// Hash of the password.
    #[contract(internal)]
    pub password_hash: Option<String>,
    /// Password; one is generated when absent.
    #[contract(write_only, length(0..=256))]
    pub password: Option<Secret>,
    /// Which mail tells the user of the account: `signup` or `invite`.
    #[contract(write_only)]
    pub confirmation: Option<Confirmation>,
    /// Portal that asks.
    #[contract(write_only)]
    pub app_type: Option<String>,
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Yes.
    Active,
    /// No: an administrator blocked it.
    Blocked,
    /// Not yet: the address is not confirmed.
    Pending,
    /// No: closed.
    Deleted,
}

/// Which mail tells the user of a new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Confirmation {
    /// Confirm the address.
    Signup,
    /// An invitation.
    Invite,
}

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// `Basic` for e-mail and password, or the identity provider.
    pub provider: String,
    /// Identifier there.
    pub id: String,
}

/// The kind.
pub struct User;

impl Resource for User {
    type Parent = Service;
    type Contract = UserContract;
    const TITLE: &'static str = "User";
    const SEGMENT: &'static str = "users";
    const PARAMETER: &'static str = "userId";
    const TABLE: &'static str = "users";
    const NAME: NameRule = NameRule::id(80);
    const LONG_DELETE: bool = true;
    const SERVED: bool = true;
    const LIST_PARAMETERS: &'static [ListParameter] = &[group::shown!(
        "group_users l ON l.group_id = g.id WHERE l.user_id = t.id"
    )];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("firstName", "first_name"),
        Filter::text("lastName", "last_name"),
        Filter::text("email", "email"),
        Filter::equal("state", "state"),
        Filter::date("registrationDate", "registration_date"),
        Filter::text("note", "note"),
    ];
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "generateSsoUrl",
            operation: "User_GenerateSsoUrl",
            summary: "Gives a URL that signs the user in to the developer portal.",
            access: Access::Secret,
            status: 200,
            run: |cx, user| Box::pin(generate_sso_url(cx, user)),
        },
        Action {
            name: "token",
            operation: "User_GetSharedAccessToken",
            summary: "Gives a shared access token of the user.",
            access: Access::Secret,
            status: 200,
            run: |cx, user| Box::pin(shared_access_token(cx, user)),
        },
        Action {
            name: "confirmations/password/send",
            operation: "UserConfirmationPassword_Send",
            summary: "Sends a mail with which the user can set a new password.",
            access: Access::Write,
            status: 204,
            run: |cx, user| Box::pin(send_password_mail(cx, user)),
        },
        Action {
            name: "confirmations/email/send",
            operation: "UserConfirmationEmail_Send",
            summary: "Sends a mail to a new address of the user, who has it once the link in the mail is opened.",
            access: Access::Write,
            status: 204,
            run: |cx, user| Box::pin(send_email_mail(cx, user)),
        },
    ];

    const ACTION_DETAILS: &'static [ActionDetail] = &[ActionDetail {
        operation: "UserConfirmationEmail_Send",
        parameters: Vec::new,
        body: Some(|| {
            json!({"type": "object", "required": ["email"], "properties": {
                "email": {"type": "string", "format": "email", "description": "The new address."}}})
        }),
        reply: || json!({"type": "object"}),
    }];

    const VIEWS: &'static [Action] = &[Action {
        name: "identities",
        operation: "UserIdentities_List",
        summary: "Lists the ways in which the user can sign in.",
        access: Access::Read,
        status: 200,
        run: |_, user| {
            Box::pin(async move {
                let identities = &typed::<UserContract>(user)?.identities.0;
                Ok(Reply::ok(
                    json!({"value": identities, "count": identities.len()}),
                ))
            })
        },
    }];

    fn example() -> Value {
        json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org", "state": "active", "note": "Met at the fair."})
    }

    fn validate(user: &UserContract, violations: &mut Violations) {
        if let Err(why) = notify::check_address(&user.email) {
            violations.add("email", why);
        }
        if let Some(password) = &user.password {
            for problem in identity::password::problems(password.expose()) {
                violations.add("password", problem);
            }
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a UserContract>,
        new: &'a mut UserContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let taken: Option<String> = sqlx::query_scalar(
                "SELECT name FROM users WHERE parent_id = $1 AND lower(email) = lower($2) AND id <> $3",
            )
            .bind(cx.service.id)
            .bind(&new.email)
            .bind(cx.id)
            .fetch_optional(&mut *cx.conn)
            .await?;
            if taken.is_some() {
                return Err(Error::invalid(
                    "email",
                    "belongs to another user of this service",
                ));
            }
            if old.is_none() {
                new.registration_date = cx.now;
            }
            if cx.name == "1" && new.state != State::Active {
                return Err(Error::invalid(
                    "state",
                    "must stay active for the service's administrator",
                ));
            }
            if let Some(password) = &new.password {
                new.password_hash = Some(
                    identity::password::hash(password.expose().to_owned())
                        .await
                        .map_err(Error::internal)?,
                );
            }
            // The basic identity follows the address; those of identity providers stay.
            let others = new
                .identities
                .0
                .iter()
                .filter(|i| i.provider != "Basic")
                .cloned();
            let basic = Identity {
                provider: "Basic".into(),
                id: new.email.clone(),
            };
            new.identities = Json(match others.collect::<Vec<_>>() {
                others if cx.name == "1" && !others.is_empty() => others,
                others => std::iter::once(basic).chain(others).collect(),
            });
            Ok(())
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a UserContract>,
        new: &'a UserContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_none() {
                sqlx::query(
                    "INSERT INTO group_users (group_id, user_id) \
                     SELECT id, $1 FROM groups WHERE parent_id = $2 AND name = 'developers' ON CONFLICT DO NOTHING",
                )
                .bind(cx.id)
                .bind(cx.service.id)
                .execute(&mut *cx.conn)
                .await?;
                let template = match new.confirmation {
                    Some(Confirmation::Invite) => Some("inviteUserNotificationMessage"),
                    Some(Confirmation::Signup) if new.state == State::Pending => {
                        Some("confirmSignUpIdentityDefault")
                    }
                    Some(Confirmation::Signup) => Some("newDeveloperNotificationMessage"),
                    None => cx
                        .query
                        .switch("notify")?
                        .then_some("newDeveloperNotificationMessage"),
                };
                let silent = cx
                    .query
                    .value("notify")
                    .is_some_and(|v| v.eq_ignore_ascii_case("false"));
                match template.filter(|_| !silent) {
                    // The welcome proves nothing.
                    Some(welcome @ "newDeveloperNotificationMessage") => {
                        let none = mail::Variables::new();
                        notify::developer(cx, welcome, &notify::Developer::of(new), none).await?;
                    }
                    Some(template) => {
                        notify::confirm(cx, template, &notify::Developer::of(new)).await?;
                    }
                    None => {}
                }
            } else if old.is_some_and(|old| old.state == State::Pending)
                && new.state == State::Active
                && !cx
                    .query
                    .value("notify")
                    .is_some_and(|v| v.eq_ignore_ascii_case("false"))
            {
                let (to, none) = (notify::Developer::of(new), mail::Variables::new());
                notify::developer(cx, "newDeveloperNotificationMessage", &to, none).await?;
            }
            if let Some(password) = new.password.as_ref().filter(|_| old.is_some()) {
                let mut more = mail::Variables::new();
                more.insert("DevPassword".into(), password.expose().into());
                notify::developer(
                    cx,
                    "passwordResetByAdminNotificationMessage",
                    &notify::Developer::of(new),
                    more,
                )
                .await?;
            }
            Ok(())
        })
    }

    /// A user with subscriptions goes only when the caller says so with `deleteSubscriptions=true`.
    fn deleting<'a>(cx: &'a mut Cx<'_>, old: &'a UserContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if cx.name == "1" {
                return Err(Error::invalid(
                    "userId",
                    "names the service's administrator, who cannot be deleted",
                ));
            }
            subscription::delete_with(cx, "owner_id", "user").await?;
            recipient::forget(cx, cx.id).await?;
            // Sessions and links go by address: whoever has it next must not find them.
            sqlx::query(
                "DELETE FROM user_tickets WHERE service_id = $1 AND lower(email) = lower($2)",
            )
            .bind(cx.service.id)
            .bind(&old.email)
            .execute(&mut *cx.conn)
            .await?;
            if cx.query.switch("notify")? {
                notify::developer(
                    cx,
                    "accountClosedDeveloper",
                    &notify::Developer::of(old),
                    mail::Variables::new(),
                )
                .await?;
                notify::publishers(
                    cx,
                    "AccountClosedPublisher",
                    &notify::Developer::of(old),
                    mail::Variables::new(),
                )
                .await?;
            }
            Ok(())
        })
    }
}

/// How long a generated sign-in URL and a mailed ticket are good for.
const TICKET_MINUTES: i64 = 10;

async fn generate_sso_url(cx: &mut Cx<'_>, _: &dyn Entity) -> Result<Reply> {
    let expiry = cx.now + chrono::Duration::minutes(TICKET_MINUTES);
    // Two URLs of the same minute are two: each counts once.
    let salt = cx.engine.random::<16>()?;
    let key = signing_key(cx, "primary").await?;
    let token = identity::sas::distinct_user_token(&cx.name, expiry, key.expose(), salt);
    let url: String = cx.engine.settings().portal_url(&cx.service.name);
    let token: String = token
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    Ok(Reply::ok(
        json!({"value": format!("{url}/signin-sso?token={token}")}),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenParameters {
    key_type: Option<String>,
    expiry: Option<DateTime<Utc>>,
}

async fn shared_access_token(cx: &mut Cx<'_>, _: &dyn Entity) -> Result<Reply> {
    let given = cx
        .body
        .remove("properties")
        .unwrap_or_else(|| Value::Object(std::mem::take(&mut cx.body)));
    let given: TokenParameters = serde_json::from_value(given)
        .map_err(|e| Error::invalid("properties", format!("is not valid: {e}")))?;
    let mut violations = Violations::default();
    let key = match given.key_type.as_deref() {
        None => "primary",
        Some(key) if key.eq_ignore_ascii_case("primary") => "primary",
        Some(key) if key.eq_ignore_ascii_case("secondary") => "secondary",
        Some(_) => {
            violations.add("properties.keyType", "must be primary or secondary");
            "primary"
        }
    };
    let expiry = match given.expiry {
        None => {
            violations.add("properties.expiry", "is required");
            cx.now
        }
        Some(expiry) if expiry > cx.now && expiry <= cx.now + chrono::Duration::days(30) => expiry,
        Some(_) => {
            violations.add(
                "properties.expiry",
                "must be in the future and at most 30 days ahead",
            );
            cx.now
        }
    };
    violations.into_result()?;
    Ok(Reply::ok(
        json!({"value": user_token(cx, key, expiry).await?}),
    ))
}

/// `{user}&{yyyyMMddHHmm}&{signature}` under a key of the service's tenant access (contract rules §9).
async fn user_token(cx: &mut Cx<'_>, key: &str, expiry: DateTime<Utc>) -> Result<String> {
    let key = signing_key(cx, key).await?;
    Ok(identity::sas::user_token(&cx.name, expiry, key.expose()))
}

/// The primary or secondary key of the service's tenant access, under which users' tokens are signed.
async fn signing_key(cx: &mut Cx<'_>, key: &str) -> Result<Secret> {
    let sealed: (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT primary_key, secondary_key FROM tenant_access WHERE parent_id = $1 AND name = 'access'")
            .bind(cx.service.id)
            .fetch_optional(&mut *cx.conn)
            .await?
            .ok_or_else(|| Error::Conflict("The service is still being activated.".into()))?;
    let sealed = if key == "primary" { sealed.0 } else { sealed.1 };
    cx.engine.codec.open(&sealed)
}

async fn send_password_mail(cx: &mut Cx<'_>, user: &dyn Entity) -> Result<Reply> {
    let user: &UserContract = typed(user)?;
    notify::confirm(
        cx,
        "passwordResetIdentityDefault",
        &notify::Developer::of(user),
    )
    .await?;
    Ok(Reply::empty(204))
}

async fn send_email_mail(cx: &mut Cx<'_>, user: &dyn Entity) -> Result<Reply> {
    let user: &UserContract = typed(user)?;
    let email = match cx.body.get("email") {
        Some(Value::String(email)) => email.clone(),
        _ => return Err(Error::invalid("email", "is required")),
    };
    notify::check_address(&email).map_err(|why| Error::invalid("email", why))?;
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM users WHERE parent_id = $1 AND lower(email) = lower($2))",
    )
    .bind(cx.service.id)
    .bind(&email)
    .fetch_one(&mut *cx.conn)
    .await?;
    // The reply is the same, so that a developer learns nothing about other accounts.
    if !taken {
        let to = notify::Developer {
            email,
            ..notify::Developer::of(user)
        };
        notify::confirm(cx, "emailChangeIdentityDefault", &to).await?;
    }
    Ok(Reply::empty(204))
}

/// A ticket of the user that the context is about, for a mailed link: random, so that it cannot be guessed; only its digest is stored.
///
/// # Errors
/// When the system gives no randomness or the database fails.
pub async fn ticket(cx: &mut Cx<'_>, purpose: &str, email: &str) -> Result<String> {
    let ticket = BASE64_STANDARD
        .encode(cx.engine.random::<24>()?)
        .replace(['+', '/'], "_");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ticket.as_bytes());
    sqlx::query(
        "INSERT INTO user_tickets (digest, service_id, email, purpose, expires_at, user_id) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(digest.as_ref())
    .bind(cx.service.id)
    .bind(email)
    .bind(purpose)
    .bind(cx.now + chrono::Duration::days(2))
    .bind(cx.id)
    .execute(&mut *cx.conn)
    .await?;
    Ok(ticket)
}
