//! A call for expressions: every part is there, and nothing changes.

use chrono::{DateTime, Utc};
use policy::expression::{Context, Data, Field, Map, Part, Side};
use std::sync::Arc;

pub(crate) struct Still;

impl Context for Still {
    fn has(&self, _: Part) -> bool {
        true
    }

    fn field(&self, field: Field) -> Data {
        match field {
            Field::ResponseStatusCode => Data::Int(200),
            Field::RequestMethod => Data::from("GET"),
            Field::SubscriptionStartDate => Data::Null,
            _ => Data::from("a text, with comma"),
        }
    }

    fn entry(&self, map: Map, name: &str) -> Option<Vec<String>> {
        self.entries(map)
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, values)| values)
    }

    fn entries(&self, _: Map) -> Vec<(String, Vec<String>)> {
        vec![
            ("a".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
            (
                "Authorization".to_owned(),
                vec!["Bearer e30.eyJhdWQiOiJ4In0.".to_owned()],
            ),
        ]
    }

    fn body(&self, _: Side, _: bool) -> Option<Arc<[u8]>> {
        Some(Arc::from(
            &b"{\"a\": [1, 2.5, {\"b\": null}], \"c\": \"\\u00e9\"}"[..],
        ))
    }

    fn variable(&self, name: &str) -> Option<Data> {
        (name == "v").then(|| Data::from("value"))
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn random_bits(&self) -> u64 {
        4
    }
}
