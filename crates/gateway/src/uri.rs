//! Paths and queries as text. They are passed on as the client wrote them, except for what a policy changes.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a query name or value cannot hold as it is.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'&')
    .add(b'=')
    .add(b'+')
    .add(b'%');

/// What a path cannot hold as it is. `%` stays: the text may be escaped already.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// What a value inside a path segment cannot hold as it is.
const SEGMENT: &AsciiSet = &PATH.add(b'/').add(b'%');

pub(crate) fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

pub(crate) fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

pub(crate) fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

pub(crate) fn decode(text: &str) -> String {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Resolves `.` and `..` segments, also escaped ones, so that a call cannot reach another operation's path in a backend that would
/// resolve them itself. Most paths have none and are returned as they are.
pub(crate) fn without_dot_segments(path: &str) -> Cow<'_, str> {
    // What one would have to look at more closely begins a segment.
    let suspicious = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'.' | b'%');
    if !path.as_bytes().windows(2).any(suspicious) {
        return path.into();
    }
    let dots = |segment: &str| {
        let plain = segment.len() <= 6 && (segment.starts_with('.') || segment.starts_with('%'));
        if !plain {
            return 0;
        }
        match &*segment.to_ascii_lowercase().replace("%2e", ".") {
            "." => 1,
            ".." => 2,
            _ => 0,
        }
    };
    if !path.split('/').any(|segment| dots(segment) > 0) {
        return path.into();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dots(segment) {
            0 => kept.push(segment),
            count => {
                if count == 2 {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
        }
    }
    format!("/{}", kept.join("/")).into()
}

/// Name of a query part as it is written.
fn raw_name(part: &str) -> &str {
    part.split_once('=').map_or(part, |(name, _)| name)
}

fn is_named(part: &str, name: &str) -> bool {
    let raw = raw_name(part);
    raw.eq_ignore_ascii_case(name)
        || (raw.contains(['%', '+']) && decode(raw).eq_ignore_ascii_case(name))
}

/// First value of a query parameter, decoded.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let part = query.split('&').find(|part| is_named(part, name))?;
    Some(decode(part.split_once('=').map_or("", |(_, value)| value)))
}

/// The query without a parameter.
pub(crate) fn without_parameter(query: &str, name: &str) -> String {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !is_named(part, name))
        .collect();
    kept.join("&")
}

/// Appends a parameter.
pub(crate) fn push_parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&encode_query(name));
    query.push('=');
    query.push_str(&encode_query(value));
}

/// Names with their values, in order of first occurrence.
pub(crate) fn grouped(query: &str) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in snapshot::matcher::query_pairs(query) {
        match groups
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{query_value, without_dot_segments, without_parameter};

    #[test]
    fn dot_segments_are_resolved_also_when_escaped() {
        let cases = [
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b/..", "/b/".trim_end_matches("b/")),
            ("/../../x", "/x"),
            ("/a/...", "/a/..."),
            ("/.hidden", "/.hidden"),
        ];
        for (path, resolved) in cases {
            assert_eq!(without_dot_segments(path), resolved, "{path}");
        }
    }

    #[test]
    fn a_parameter_is_found_and_removed_however_it_is_written() {
        assert_eq!(
            query_value("a=1&Subscription%2Dkey=x+y", "subscription-key"),
            Some("x y".to_owned())
        );
        assert_eq!(
            without_parameter("a=1&subscription-key=k&b=%20", "subscription-key"),
            "a=1&b=%20"
        );
        assert_eq!(
            without_parameter("subscription-key=k", "subscription-key"),
            ""
        );
    }
}
