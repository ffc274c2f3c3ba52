//! `<rewrite-uri>`.

use policy::elements::rewrite_uri::RewriteUri;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::uri;

const SOURCE: &str = "rewrite-uri";

pub(super) async fn apply(x: &mut Exchange, policy: &RewriteUri) -> Result<Flow, Fault> {
    let template = x.value(&policy.template, SOURCE).await?;
    let copy = *x.value(&policy.copy_unmatched_params, SOURCE).await?;
    let (path, query) = template.split_once('?').unwrap_or((&template, ""));
    let parameters = x.parameters();
    let path = fill(path, &parameters, uri::encode_segment);
    let mut path = uri::encode_path(&path);
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let mut rewritten = fill(query, &parameters, uri::encode_query);
    if copy {
        for part in x.request.query.split('&').filter(|part| !part.is_empty()) {
            let name = uri::decode(part.split_once('=').map_or(part, |(name, _)| name));
            if !in_template(x, &name) {
                if !rewritten.is_empty() {
                    rewritten.push('&');
                }
                rewritten.push_str(part);
            }
        }
    }
    x.request.path = path;
    x.request.query = rewritten;
    Ok(Flow::Next)
}

/// Whether the operation's URL template mentions a query parameter.
fn in_template(x: &Exchange, name: &str) -> bool {
    let Some(state) = &x.operation else {
        return false;
    };
    let Some((_, query)) = state.operation.url_template.split_once('?') else {
        return false;
    };
    query.split('&').any(|part| {
        part.split_once('=')
            .map_or(part, |(name, _)| name)
            .eq_ignore_ascii_case(name)
    })
}

/// Puts values in the place of `{name}`. A name that the request did not match becomes empty.
fn fill(template: &str, parameters: &[(String, String)], encode: fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{')
        && let Some(length) = rest[open..].find('}')
    {
        filled.push_str(&rest[..open]);
        let name = rest[open + 1..open + length].trim_start_matches('*');
        if let Some((_, value)) = parameters
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            filled.push_str(&encode(value));
        }
        rest = &rest[open + length + 1..];
    }
    filled.push_str(rest);
    filled
}
