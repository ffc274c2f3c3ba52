//! The trie of URL templates, against its rules and against a matcher that looks at every template.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use snapshot::matcher::{Matcher, Template, query_pairs};
use uuid::Uuid;

fn matcher(templates: &[(&str, &str)]) -> Matcher<usize> {
    let mut matcher = Matcher::default();
    for (at, (method, template)) in templates.iter().enumerate() {
        matcher.insert(method, template, Uuid::from_u128(at as u128 + 1), at);
    }
    matcher
}

fn find(matcher: &Matcher<usize>, method: &str, target: &str) -> Option<usize> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    matcher.find(method, path, query).map(|found| *found.value)
}

fn parameters(template: &str, target: &str) -> Vec<(String, String)> {
    let matcher = matcher(&[("GET", template)]);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let found = matcher.find("GET", path, query).unwrap();
    found
        .parameters()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn literals_win_over_mixes_over_parameters_over_wildcards() {
    let matcher = matcher(&[
        ("GET", "/*"),
        ("GET", "/jobs/{id}"),
        ("GET", "/jobs/{name}.{extension}"),
        ("GET", "/jobs/latest"),
        ("GET", "/jobs/{id}/start"),
    ]);
    for (target, expected) in [
        ("/jobs/latest", 3),
        ("/JOBS/Latest", 3),
        ("/jobs/a.json", 2),
        ("/jobs/a", 1),
        ("/jobs/a/start", 4),
        ("/jobs/a/stop", 0),
        ("/jobs/a/", 1),
        ("/jobs", 0),
        ("", 0),
        ("/", 0),
    ] {
        assert_eq!(find(&matcher, "GET", target), Some(expected), "{target}");
    }
    assert_eq!(find(&matcher, "POST", "/jobs/a"), None);
}

#[test]
fn a_literal_that_leads_nowhere_gives_way_to_the_parameter() {
    let matcher = matcher(&[
        ("GET", "/a/b/c"),
        ("GET", "/a/{x}/d"),
        ("POST", "/a/b"),
        ("GET", "/a/{x}"),
    ]);
    assert_eq!(find(&matcher, "GET", "/a/b/d"), Some(1));
    assert_eq!(find(&matcher, "GET", "/a/b"), Some(3));
    assert_eq!(find(&matcher, "POST", "/a/b"), Some(2));
}

#[test]
fn query_parts_match_in_any_order_and_more_of_them_are_more_specific() {
    let matcher = matcher(&[
        ("GET", "/r"),
        ("GET", "/r?a={a}"),
        ("GET", "/r?a={a}&b={b}"),
        ("GET", "/r?a=1"),
        ("GET", "/r?soapAction=Get"),
        ("GET", "/r?soapAction=Put"),
    ]);
    for (target, expected) in [
        ("/r", 0),
        ("/r?c=1", 0),
        ("/r?a=2", 1),
        ("/r?a=1", 3),
        ("/r?b=2&a=1", 2),
        ("/r?x&soapaction=put", 5),
        ("/r?soapAction=Del", 0),
    ] {
        assert_eq!(find(&matcher, "GET", target), Some(expected), "{target}");
    }
}

#[test]
fn a_query_part_that_the_caller_leaves_out_is_no_match() {
    let matcher = matcher(&[("POST", "/execute?api-version={v}&details={d}")]);
    assert_eq!(
        find(&matcher, "POST", "/execute?details=true&api-version=2.0"),
        Some(0)
    );
    assert_eq!(find(&matcher, "POST", "/execute?api-version=2.0"), None);
    assert_eq!(find(&matcher, "POST", "/execute"), None);
}

#[test]
fn parameters_are_decoded_and_may_be_parts_of_a_segment() {
    assert_eq!(
        parameters("/a/{x}/{y}?q={z}", "/a/1%202/c?q=d+e%26"),
        pairs(&[("x", "1 2"), ("y", "c"), ("z", "d e&")])
    );
    assert_eq!(
        parameters(
            "/Packages(Id='{id}',Version='{v}')",
            "/packages(Id='Ab',Version='1.2')"
        ),
        pairs(&[("id", "Ab"), ("v", "1.2")])
    );
    assert_eq!(
        parameters("/{a}.{b}", "/x.y.z"),
        pairs(&[("a", "x"), ("b", "y.z")])
    );
    assert_eq!(
        parameters("/files/{*rest}", "/files/a/b%20c"),
        pairs(&[("rest", "a/b%20c")])
    );
    assert_eq!(
        Template::new("/a/{x}?q={z}").names().collect::<Vec<_>>(),
        ["x", "z"]
    );
}

#[test]
fn an_escaped_slash_stays_in_its_segment() {
    assert_eq!(parameters("/a/{x}", "/a/b%2Fc"), pairs(&[("x", "b/c")]));
}

#[test]
fn methods_of_their_own_win_over_those_for_any_method() {
    let matcher = matcher(&[("*", "/r"), ("GET", "/r")]);
    assert_eq!(find(&matcher, "GET", "/r"), Some(1));
    assert_eq!(find(&matcher, "PATCH", "/r"), Some(0));
}

#[test]
fn an_older_copy_does_not_see_later_changes() {
    let mut matcher = matcher(&[("GET", "/a"), ("GET", "/b/{x}")]);
    let before = matcher.clone();
    matcher.remove("GET", "/a", Uuid::from_u128(1));
    matcher.insert("GET", "/b/c", Uuid::from_u128(9), 9);
    assert_eq!(find(&before, "GET", "/a"), Some(0));
    assert_eq!(find(&before, "GET", "/b/c"), Some(1));
    assert_eq!(find(&matcher, "GET", "/a"), None);
    assert_eq!(find(&matcher, "GET", "/b/c"), Some(9));
}

/// How well a segment of a template fits one of a path: greater is more specific, `None` is not at all.
fn fit(template: &str, segment: &str) -> Option<(u8, usize)> {
    match template.find('{') {
        None => (template == segment).then_some((3, 0)),
        Some(0) if template.ends_with('}') && template.matches('{').count() == 1 => {
            (!segment.is_empty()).then_some((1, 0))
        }
        Some(open) => {
            // `pre{x}` or `{x}.{y}`, all that the generator makes.
            let close = template.find('}').unwrap();
            let (before, after) = (&template[..open], &template[close + 1..]);
            if let Some(separator) = after.chars().next() {
                let at = segment.get(1..)?.find(separator)? + 1;
                // Both mixes have one literal byte; the trie orders them by text.
                (at + 1 < segment.len()).then_some((2, 2))
            } else {
                (!segment.strip_prefix(before)?.is_empty()).then_some((2, 1))
            }
        }
    }
}

type Rank = (Vec<(u8, usize)>, bool, usize, usize, i64);

/// Looks at every template.
fn naive(
    templates: &[(String, String)],
    live: &[bool],
    method: &str,
    path: &str,
    query: &str,
) -> Option<usize> {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let given = query_pairs(query);
    let mut best: Option<(Rank, usize)> = None;
    for (at, (wanted, template)) in templates.iter().enumerate() {
        if !live[at] || wanted != method {
            continue;
        }
        let (path, query) = template.split_once('?').unwrap_or((template, ""));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let wildcard = parts.last() == Some(&"*");
        let fixed = if wildcard {
            &parts[..parts.len() - 1]
        } else {
            &parts[..]
        };
        if segments.len() < fixed.len() || (!wildcard && segments.len() != fixed.len()) {
            continue;
        }
        let Some(fits) = fixed
            .iter()
            .zip(&segments)
            .map(|(part, segment)| fit(part, segment))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let parts: Vec<(&str, &str)> = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap())
            .collect();
        let fits_query = parts.iter().all(|(name, value)| {
            given
                .iter()
                .any(|(known, text)| known == name && (value.starts_with('{') || text == value))
        });
        if !fits_query {
            continue;
        }
        let literal = parts
            .iter()
            .filter(|(_, value)| !value.starts_with('{'))
            .count();
        let mut path_rank = fits;
        if wildcard {
            // Anything that takes the next segment is more specific, the end of the path too.
            path_rank.push((0, 0));
        } else if fixed.len() == segments.len() {
            path_rank.push((1, 0));
        }
        let rank = (path_rank, !wildcard, parts.len(), literal, -(at as i64));
        if best.as_ref().is_none_or(|(known, _)| *known < rank) {
            best = Some((rank, at));
        }
    }
    best.map(|(_, at)| at)
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "ab"]).prop_map(str::to_owned),
        3 => Just("{x}".to_owned()),
        1 => Just("a{x}".to_owned()),
        1 => Just("{x}.{y}".to_owned()),
    ]
}

fn template() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(segment(), 0..4);
    let query = prop::sample::select(vec![
        "",
        "",
        "?p={p}",
        "?p=1",
        "?q=2",
        "?p={p}&q={q}",
        "?p=1&q={q}",
    ]);
    (path, any::<bool>(), query).prop_map(|(path, wildcard, query)| {
        let star = if wildcard && path.len() % 2 == 0 {
            "/*"
        } else {
            ""
        };
        format!("/{}{star}{query}", path.join("/")).replace("//", "/")
    })
}

fn target() -> impl Strategy<Value = (String, String)> {
    let segment = prop::sample::select(vec!["a", "b", "c", "ab", "a.b", "d", "abc"]);
    let path = prop::collection::vec(segment, 0..5).prop_map(|path| format!("/{}", path.join("/")));
    let query = prop::sample::select(vec!["", "p=1", "p=2", "q=2", "q=2&p=1", "p=3&q=5&r=1"]);
    (path, query.prop_map(str::to_owned))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_trie_finds_what_looking_at_every_template_finds(
        templates in prop::collection::vec((prop::sample::select(vec!["GET", "POST"]).prop_map(str::to_owned), template()), 1..24),
        removed in prop::collection::vec(any::<bool>(), 24),
        targets in prop::collection::vec(target(), 1..16),
    ) {
        let mut trie = Matcher::default();
        for (at, (method, template)) in templates.iter().enumerate() {
            trie.insert(method, template, Uuid::from_u128(at as u128), at);
        }
        let live: Vec<bool> = (0..templates.len()).map(|at| !removed[at] || at % 2 == 0).collect();
        for (at, (method, template)) in templates.iter().enumerate() {
            if !live[at] {
                trie.remove(method, template, Uuid::from_u128(at as u128));
            }
        }
        for (path, query) in &targets {
            for method in ["GET", "POST"] {
                let found = trie.find(method, path, query).map(|found| *found.value);
                let expected = naive(&templates, &live, method, path, query);
                prop_assert_eq!(found, expected, "{} {}?{} in {:?}", method, path, query, templates);
            }
        }
    }

    #[test]
    fn any_text_is_a_template_and_any_path_can_be_looked_up(template in ".{0,40}", path in ".{0,40}", query in ".{0,20}") {
        let mut trie = Matcher::default();
        trie.insert("GET", &template, Uuid::nil(), ());
        if let Some(found) = trie.find("GET", &path, &query) {
            prop_assert!(found.parameters().count() <= template.len());
        }
        trie.remove("GET", &template, Uuid::nil());
        prop_assert!(trie.find("GET", &path, &query).is_none());
    }
}
