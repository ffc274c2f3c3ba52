//! Wikis: the documentation of one API or one product, in order.

use crate::{api::Api, product::Product};
use engine::{BoxFuture, Contract, Cx, Json, NameRule, Resource, Result, Value, Violations, json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A wiki.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WikiContract {
    /// The pages, in their order.
    #[contract(default = Json(Vec::new()))]
    pub documents: Json<Vec<WikiDocument>>,
}

/// A page of a wiki.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WikiDocument {
    /// Name of the documentation.
    pub documentation_id: String,
}

/// Every page must exist.
async fn check_documents(cx: &mut Cx<'_>, new: &WikiContract) -> Result<()> {
    let mut violations = Violations::default();
    for (at, document) in new.documents.0.iter().enumerate() {
        let name = document
            .documentation_id
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        if cx.find("documentations", &name).await?.is_none() {
            violations.add(
                format!("documents[{at}].documentationId"),
                format!("names documentations/{name}, which does not exist"),
            );
        }
    }
    violations.into_result()
}

macro_rules! wiki_kind {
    ($(#[$doc:meta])* $kind:ident, $parent:ty, $title:literal, $table:literal) => {
        $(#[$doc])*
        pub struct $kind;

        impl Resource for $kind {
            type Parent = $parent;
            type Contract = WikiContract;
            const TITLE: &'static str = $title;
            const NOUN: &'static str = "Wiki";
            const SEGMENT: &'static str = "wikis";
            const PARAMETER: &'static str = "wikiName";
            const TABLE: &'static str = $table;
            const OF_ALL_REVISIONS: bool = true;
            const NAME: NameRule = NameRule::Fixed(&["default"]);

            fn example() -> Value {
                json!({"documents": []})
            }
            fn prepare<'a>(
                cx: &'a mut Cx<'_>,
                _: Option<&'a WikiContract>,
                new: &'a mut WikiContract,
            ) -> BoxFuture<'a, Result<()>> {
                Box::pin(check_documents(cx, new))
            }
        }
    };
}

wiki_kind!(
    /// The wiki of an API.
    ApiWiki, Api, "ApiWiki", "api_wikis"
);
wiki_kind!(
    /// The wiki of a product.
    ProductWiki, Product, "ProductWiki", "product_wikis"
);
