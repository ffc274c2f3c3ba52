//! `<cache-lookup>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// Which cache is used.
    CachingType ("'prefer-external', 'external' or 'internal'") {
        /// The external cache if there is one, otherwise the internal.
        PreferExternal = "prefer-external",
        /// Only the external cache.
        External = "external",
        /// Only the internal cache.
        Internal = "internal",
    }
}

words! {
    /// What `Cache-Control` tells caches further down.
    DownstreamCaching ("'none', 'private' or 'public'") {
        /// They shall not keep the response.
        None = "none",
        /// Only the client's own cache may keep it.
        Private = "private",
        /// Shared caches may keep it.
        Public = "public",
    }
}

/// Answers from the cache when it holds a response for the same key.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheLookup {
    /// One entry per user.
    pub vary_by_developer: Value<bool>,
    /// One entry per set of groups.
    pub vary_by_developer_groups: Value<bool>,
    /// Which cache.
    pub caching_type: CachingType,
    /// What caches further down may do.
    pub downstream_caching: Value<DownstreamCaching>,
    /// Whether caches further down must ask again when the entry is stale.
    pub must_revalidate: Value<bool>,
    /// Whether requests with an Authorization header are cached.
    pub allow_private_response_caching: Value<bool>,
    /// Request headers that are part of the key.
    pub vary_by_header: Vec<Value<String>>,
    /// Query parameters that are part of the key; all of them when the list is empty.
    pub vary_by_query_parameter: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<cache-lookup vary-by-developer="false" vary-by-developer-groups="false" downstream-caching-type="none">
    <vary-by-header>Accept</vary-by-header>
    <vary-by-header>Accept-Charset</vary-by-header>
</cache-lookup>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CacheLookup> {
    parser.attributes(
        element,
        &[
            "vary-by-developer",
            "vary-by-developer-groups",
            "caching-type",
            "downstream-caching-type",
            "must-revalidate",
            "allow-private-response-caching",
        ],
    );
    parser.children(element, &["vary-by-header", "vary-by-query-parameter"]);
    let vary_by_developer = parser.value(element, "vary-by-developer");
    let vary_by_developer_groups = parser.value(element, "vary-by-developer-groups");
    let caching_type = parser.literal_or(element, "caching-type", CachingType::PreferExternal);
    let downstream_caching = parser.value_or(element, "downstream-caching-type", DownstreamCaching::None);
    let must_revalidate = parser.value_or(element, "must-revalidate", true);
    let allow_private_response_caching = parser.value_or(element, "allow-private-response-caching", false);
    let vary_by_header = parser.texts(element, "vary-by-header");
    let mut vary_by_query_parameter = Vec::new();
    for value in parser.texts::<String>(element, "vary-by-query-parameter") {
        match value {
            // One element may name several parameters, separated by semicolons.
            Value::Literal(names) => vary_by_query_parameter
                .extend(names.split(';').map(str::trim).filter(|name| !name.is_empty()).map(|name| Value::Literal(name.to_owned()))),
            expression @ Value::Expression(_) => vary_by_query_parameter.push(expression),
        }
    }
    Some(CacheLookup {
        vary_by_developer: vary_by_developer?,
        vary_by_developer_groups: vary_by_developer_groups?,
        caching_type,
        downstream_caching,
        must_revalidate,
        allow_private_response_caching,
        vary_by_header,
        vary_by_query_parameter,
    })
}
