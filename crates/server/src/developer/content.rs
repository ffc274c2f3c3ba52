//! What the publisher says in the portal: its look, pages, terms; and the ways to sign in.

use super::{Portal, answered, catalogue, fresh, markdown, provider};
use crate::State;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use engine::{Error, Result};
use serde::Serialize;
use sqlx::FromRow;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// What is stored about a portal (`kinds::developer_portal`, `kinds::portal_setting`); empty where nobody changed it.
#[derive(FromRow)]
pub(super) struct Presentation {
    title: Option<String>,
    logo: Option<String>,
    accent_color: Option<String>,
    welcome: Option<String>,
    pages: Option<Vec<String>>,
    pub(super) sign_in_providers: Option<Vec<String>>,
    /// The terms of use, where they are shown.
    pub(super) terms: Option<String>,
    consent_required: bool,
    pub(super) sign_up_enabled: bool,
    /// Whether only who is signed in sees the catalogue.
    pub(super) sign_in_required: bool,
}

impl Presentation {
    pub(super) async fn of(state: &State, portal: &Portal) -> Result<Self> {
        Ok(sqlx::query_as(
            "SELECT p.title, p.logo, p.accent_color, p.welcome, p.pages, p.sign_in_providers, \
             CASE WHEN (up.terms_of_service->>'enabled')::bool THEN up.terms_of_service->>'text' END AS terms, \
             coalesce((up.terms_of_service->>'enabled')::bool AND (up.terms_of_service->>'consentRequired')::bool, false) AS consent_required, \
             coalesce(up.enabled, true) AS sign_up_enabled, coalesce(si.enabled, false) AS sign_in_required \
             FROM services s LEFT JOIN developer_portals p ON p.parent_id = s.id \
             LEFT JOIN portal_settings up ON up.parent_id = s.id AND up.name = 'signup' \
             LEFT JOIN portal_settings si ON si.parent_id = s.id AND si.name = 'signin' WHERE s.id = $1",
        )
        .bind(portal.id)
        .fetch_one(&state.engine.pool)
        .await?)
    }

    pub(super) fn requires_consent(&self) -> bool {
        self.consent_required
    }
}

/// A service's portal, as every page shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    name: String,
    /// Name that visitors see.
    title: String,
    publisher_name: String,
    publisher_email: String,
    gateway_url: Option<String>,
    /// A data URL.
    logo: Option<String>,
    /// `#rrggbb`
    accent_color: Option<String>,
    /// HTML that greets on the first page.
    welcome: Option<String>,
    pages: Vec<PageLink>,
    terms: Option<Terms>,
    /// Whether visitors may sign up.
    sign_up_enabled: bool,
    /// Whether only who is signed in sees the catalogue.
    sign_in_required: bool,
    /// With whom developers may sign in besides their password.
    providers: Vec<Provider>,
}

/// A page of the portal.
#[derive(Serialize, ToSchema)]
pub struct PageLink {
    name: String,
    title: String,
}

/// The terms of use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    html: String,
    /// Whether signing up needs consent.
    consent_required: bool,
}

/// An identity provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    name: String,
    display_name: String,
}

pub(super) async fn service(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let shown = Presentation::of(&state, &portal).await?;
        let providers = provider::all(&state, &portal, &shown).await?;
        Ok(fresh(&Service {
            title: shown
                .title
                .clone()
                .unwrap_or_else(|| portal.publisher_name.clone()),
            pages: pages(&state, &portal, &shown).await?,
            terms: shown
                .terms
                .as_deref()
                .filter(|terms| !terms.trim().is_empty())
                .map(|terms| Terms {
                    html: markdown::html(terms),
                    consent_required: shown.requires_consent(),
                }),
            providers: providers
                .into_iter()
                .map(|p| Provider {
                    name: p.name,
                    display_name: p.display_name,
                })
                .collect(),
            sign_up_enabled: shown.sign_up_enabled,
            sign_in_required: shown.sign_in_required,
            logo: shown.logo,
            accent_color: shown.accent_color,
            welcome: shown.welcome.as_deref().map(markdown::html),
            name: portal.name,
            publisher_name: portal.publisher_name,
            publisher_email: portal.publisher_email,
            gateway_url: portal.gateway_url,
        }))
    })
    .await
}

/// The pages that exist, in the publisher's order.
async fn pages(state: &State, portal: &Portal, shown: &Presentation) -> Result<Vec<PageLink>> {
    let wanted = shown.pages.clone().unwrap_or_default();
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT d.name, d.title FROM unnest($2::text[]) WITH ORDINALITY AS w (name, place) \
         JOIN documentations d ON d.parent_id = $1 AND lower(d.name) = lower(w.name) ORDER BY w.place",
    )
    .bind(portal.id)
    .bind(wanted)
    .fetch_all(&state.engine.pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(name, title)| PageLink {
            title: title.unwrap_or_else(|| name.clone()),
            name,
        })
        .collect())
}

/// A page with its content.
#[derive(Serialize, ToSchema)]
pub struct Page {
    name: String,
    title: String,
    /// The content as HTML.
    html: String,
}

pub(super) async fn page(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let shown = Presentation::of(&state, &portal).await?;
        let name = http.match_info().get("page").unwrap_or_default();
        let listed = shown
            .pages
            .iter()
            .flatten()
            .any(|page| page.eq_ignore_ascii_case(name));
        // Documentations that the portal does not show may be drafts.
        if !listed {
            return Err(Error::not_found("Page"));
        }
        let (name, title, content): (String, Option<String>, Option<String>) = sqlx::query_as(
            "SELECT name, title, content FROM documentations WHERE parent_id = $1 AND lower(name) = lower($2)",
        )
        .bind(portal.id)
        .bind(name)
        .fetch_optional(&state.engine.pool)
        .await?
        .ok_or_else(|| Error::not_found("Page"))?;
        Ok(fresh(&Page {
            title: title.unwrap_or_else(|| name.clone()),
            html: markdown::html(&content.unwrap_or_default()),
            name,
        }))
    })
    .await
}

/// A line of Markdown: what publishers write must not begin another one.
fn line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('[', "(")
        .replace(']', ")")
}

/// `/{service}/llms.txt`: the catalogue for language models, as <https://llmstxt.org> proposes. What everybody may see.
pub(super) async fn llms(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let shown = Presentation::of(&state, &portal).await?;
        let base = state.engine.settings().portal_url(&portal.name);
        let mut out = format!(
            "# {}\n\n> APIs of {}. Documents are OpenAPI 3; calls go to {}.\n",
            line(shown.title.as_deref().unwrap_or(&portal.publisher_name)),
            line(&portal.publisher_name),
            portal.gateway_url.as_deref().unwrap_or("the gateway"),
        );
        out.push_str("\n## APIs\n\n");
        let apis = if shown.sign_in_required {
            Vec::new()
        } else {
            catalogue::public_apis(&state, &portal).await?
        };
        for api in apis {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "- [{}]({base}/api/apis/{}/openapi): {}",
                line(&api.display_name),
                arm_id::to_url_path(&api.name),
                line(api.description.as_deref().unwrap_or_default()),
            );
        }
        let pages = pages(&state, &portal, &shown).await?;
        if !pages.is_empty() {
            out.push_str("\n## Pages\n\n");
        }
        for page in pages {
            let _ = writeln!(
                out,
                "- [{}]({base}/pages/{})",
                line(&page.title),
                arm_id::to_url_path(&page.name)
            );
        }
        Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(out))
    })
    .await
}
