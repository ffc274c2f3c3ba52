//! What has which tag: `apisByTags`, `productsByTags`, `apis/{id}/operationsByTags` and `tagResources`.
//!
//! One row for each pair of tag and tagged resource; with `includeNotTagged…=true` also one, after all others, for each
//! resource without a tag. Names are the ones that people see, ids have the contract's short form.

use crate::{api::Api, service::Service};
use engine::{Filter, Query, kind, listing::Listing};

macro_rules! tag {
    () => {
        "'tag', jsonb_build_object('id', '/tags/' || g.name, 'name', g.display_name)"
    };
}
macro_rules! api {
    () => {
        "'api', jsonb_strip_nulls(jsonb_build_object('id', '/apis/' || a.name, 'name', a.display_name, \
         'description', a.description, 'serviceUrl', a.service_url, 'path', a.path, 'protocols', a.protocols, \
         'type', a.type, 'apiRevision', a.api_revision, 'apiRevisionDescription', a.api_revision_description, \
         'apiVersion', a.api_version, 'apiVersionDescription', a.api_version_description, \
         'apiVersionSetId', a.api_version_set_id, 'isCurrent', a.is_current, 'isOnline', a.is_online, \
         'subscriptionRequired', a.subscription_required, 'termsOfServiceUrl', a.terms_of_service_url, \
         'contact', a.contact, 'license', a.license))"
    };
}
macro_rules! operation {
    () => {
        "'operation', jsonb_strip_nulls(jsonb_build_object('id', '/apis/' || a.name || '/operations/' || o.name, \
         'name', o.display_name, 'apiName', a.display_name, 'apiRevision', a.api_revision, 'apiVersion', a.api_version, \
         'description', o.description, 'method', o.method, 'urlTemplate', o.url_template))"
    };
}
macro_rules! product {
    () => {
        "'product', jsonb_strip_nulls(jsonb_build_object('id', '/products/' || p.name, 'name', p.display_name, \
         'description', p.description, 'terms', p.terms, 'subscriptionRequired', p.subscription_required, \
         'approvalRequired', p.approval_required, 'subscriptionsLimit', p.subscriptions_limit, 'state', p.state))"
    };
}
/// Keys of a tagged row and of one without a tag.
macro_rules! tagged {
    () => {
        "SELECT '0' AS part, lower(g.name) AS tag, jsonb_build_object("
    };
}
macro_rules! untagged {
    () => {
        " UNION ALL SELECT '1' AS part, '' AS tag, jsonb_build_object('tag', '{}'::jsonb, "
    };
}

macro_rules! api_columns {
    () => {
        ") AS item, lower(a.name) AS key, a.name, a.display_name, a.api_revision, a.path, a.description, a.service_url, \
         a.is_current "
    };
}
const APIS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    api!(),
    api_columns!(),
    "FROM tags g JOIN api_tags l ON l.tag_id = g.id JOIN apis a ON a.id = l.api_id WHERE g.parent_id = $1"
);
const ALL_APIS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    api!(),
    api_columns!(),
    "FROM tags g JOIN api_tags l ON l.tag_id = g.id JOIN apis a ON a.id = l.api_id WHERE g.parent_id = $1",
    untagged!(),
    api!(),
    api_columns!(),
    "FROM apis a WHERE a.parent_id = $1 AND NOT EXISTS (SELECT FROM api_tags l WHERE l.api_id = a.id)"
);

macro_rules! product_columns {
    () => {
        ") AS item, lower(p.name) AS key, p.name, p.display_name, p.description, p.terms, p.state "
    };
}
const PRODUCTS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    product!(),
    product_columns!(),
    "FROM tags g JOIN product_tags l ON l.tag_id = g.id JOIN products p ON p.id = l.product_id WHERE g.parent_id = $1"
);
const ALL_PRODUCTS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    product!(),
    product_columns!(),
    "FROM tags g JOIN product_tags l ON l.tag_id = g.id JOIN products p ON p.id = l.product_id WHERE g.parent_id = $1",
    untagged!(),
    product!(),
    product_columns!(),
    "FROM products p WHERE p.parent_id = $1 AND NOT EXISTS (SELECT FROM product_tags l WHERE l.product_id = p.id)"
);

macro_rules! operation_columns {
    () => {
        ") AS item, lower(o.name) AS key, o.name, o.display_name, a.display_name AS api_name, o.description, o.method, o.url_template "
    };
}
const OPERATIONS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    operation!(),
    operation_columns!(),
    "FROM apis a JOIN api_operations o ON o.parent_id = a.id JOIN operation_tags l ON l.operation_id = o.id \
     JOIN tags g ON g.id = l.tag_id WHERE a.id = $1"
);
const ALL_OPERATIONS: &str = concat!(
    tagged!(),
    tag!(),
    ", ",
    operation!(),
    operation_columns!(),
    "FROM apis a JOIN api_operations o ON o.parent_id = a.id JOIN operation_tags l ON l.operation_id = o.id \
     JOIN tags g ON g.id = l.tag_id WHERE a.id = $1",
    untagged!(),
    operation!(),
    operation_columns!(),
    "FROM apis a JOIN api_operations o ON o.parent_id = a.id WHERE a.id = $1 \
     AND NOT EXISTS (SELECT FROM operation_tags l WHERE l.operation_id = o.id)"
);

/// APIs, operations and products; `part` keeps the three kinds of one tag apart.
const RESOURCES: &str = concat!(
    "SELECT lower(g.name) AS tag, 'api' AS part, lower(a.name) AS key, jsonb_build_object(",
    tag!(),
    ", ",
    api!(),
    ") AS item, a.name AS aid, a.name, a.display_name, a.display_name AS api_name, a.api_revision, a.path, a.description, \
     a.service_url, NULL::text AS method, NULL::text AS url_template, NULL::text AS terms, NULL::text AS state, a.is_current \
     FROM tags g JOIN api_tags l ON l.tag_id = g.id JOIN apis a ON a.id = l.api_id WHERE g.parent_id = $1 \
     UNION ALL SELECT lower(g.name), 'operation', lower(a.name || '/' || o.name), jsonb_build_object(",
    tag!(),
    ", ",
    operation!(),
    "), a.name, o.name, o.display_name, a.display_name, a.api_revision, a.path, o.description, a.service_url, o.method, \
     o.url_template, NULL, NULL, a.is_current \
     FROM tags g JOIN operation_tags l ON l.tag_id = g.id JOIN api_operations o ON o.id = l.operation_id \
     JOIN apis a ON a.id = o.parent_id WHERE g.parent_id = $1 \
     UNION ALL SELECT lower(g.name), 'product', lower(p.name), jsonb_build_object(",
    tag!(),
    ", ",
    product!(),
    "), NULL, p.name, p.display_name, NULL, NULL, NULL, p.description, NULL, NULL, NULL, p.terms, p.state, NULL \
     FROM tags g JOIN product_tags l ON l.tag_id = g.id JOIN products p ON p.id = l.product_id WHERE g.parent_id = $1"
);

fn with(query: &Query, switch: &str, all: &'static str, tagged: &'static str) -> &'static str {
    match query.switch(switch) {
        Ok(true) => all,
        // A wrong value was refused before.
        Ok(false) | Err(_) => tagged,
    }
}

/// The lists.
pub(crate) fn listings() -> [Listing; 4] {
    [
        Listing {
            operation: "Api_ListByTags",
            summary: "Lists the APIs by their tags.",
            parent: kind::<Service>(),
            segment: "apisByTags",
            of_all_revisions: false,
            in_workspaces: false,
            filters: const {
                &[
                    Filter::name(),
                    Filter::text("displayName", "display_name"),
                    Filter::text("apiRevision", "api_revision"),
                    Filter::text("path", "path"),
                    Filter::text("description", "description"),
                    Filter::text("serviceUrl", "service_url"),
                    Filter::bool("isCurrent", "is_current"),
                ]
            },
            switches: &["includeNotTaggedApis"],
            rows: |query| with(query, "includeNotTaggedApis", ALL_APIS, APIS),
            keys: &["part", "tag", "key"],
        },
        Listing {
            operation: "Product_ListByTags",
            summary: "Lists the products by their tags.",
            parent: kind::<Service>(),
            segment: "productsByTags",
            of_all_revisions: false,
            in_workspaces: false,
            filters: const {
                &[
                    Filter::name(),
                    Filter::text("displayName", "display_name"),
                    Filter::text("description", "description"),
                    Filter::text("terms", "terms"),
                    Filter::text("state", "state"),
                ]
            },
            switches: &["includeNotTaggedProducts"],
            rows: |query| with(query, "includeNotTaggedProducts", ALL_PRODUCTS, PRODUCTS),
            keys: &["part", "tag", "key"],
        },
        Listing {
            operation: "Operation_ListByTags",
            summary: "Lists the operations of the API by their tags.",
            parent: kind::<Api>(),
            segment: "operationsByTags",
            of_all_revisions: false,
            in_workspaces: false,
            filters: const {
                &[
                    Filter::name(),
                    Filter::text("displayName", "display_name"),
                    Filter::text("apiName", "api_name"),
                    Filter::text("description", "description"),
                    Filter::text("method", "method"),
                    Filter::text("urlTemplate", "url_template"),
                ]
            },
            switches: &["includeNotTaggedOperations"],
            rows: |query| {
                with(
                    query,
                    "includeNotTaggedOperations",
                    ALL_OPERATIONS,
                    OPERATIONS,
                )
            },
            keys: &["part", "tag", "key"],
        },
        Listing {
            operation: "TagResource_ListByService",
            summary: "Lists the APIs, operations and products by their tags.",
            parent: kind::<Service>(),
            segment: "tagResources",
            of_all_revisions: false,
            in_workspaces: false,
            filters: const {
                &[
                    Filter::text("aid", "aid"),
                    Filter::name(),
                    Filter::text("displayName", "display_name"),
                    Filter::text("apiName", "api_name"),
                    Filter::text("apiRevision", "api_revision"),
                    Filter::text("path", "path"),
                    Filter::text("description", "description"),
                    Filter::text("serviceUrl", "service_url"),
                    Filter::text("method", "method"),
                    Filter::text("urlTemplate", "url_template"),
                    Filter::text("terms", "terms"),
                    Filter::equal("state", "state"),
                    Filter::bool("isCurrent", "is_current"),
                ]
            },
            switches: &[],
            rows: |_| RESOURCES,
            keys: &["tag", "part", "key"],
        },
    ]
}
