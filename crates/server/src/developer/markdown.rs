//! Markdown of publishers and of imported documents, as HTML that a page of the portal may hold.
//!
//! The text is written by somebody who may write it, but read with the session of everybody else: nothing but plain
//! elements and links gets through. Images would be requests to elsewhere, which the portal's policy forbids anyway.

use ammonia::Builder;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::{collections::HashSet, sync::LazyLock};

static CLEAN: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut clean = Builder::default();
    clean
        .rm_tags(["img", "map", "area"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .link_rel(Some("noopener noreferrer nofollow"));
    clean
});

/// One level below: the page's own title is its only first heading.
fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// HTML without scripts, styles, images and whatever else could do more than be read.
pub(super) fn html(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) => Event::Start(Tag::Heading {
            level: below(level),
            id,
            classes,
            attrs,
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    CLEAN.clean(&out).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_elements_and_links_get_through() {
        assert_eq!(
            html(
                "# Title\n\nAsk for a **key** at [us](https://example.org/a?b=1&c=2).\n\n| a |\n|---|\n| 1 |\n"
            ),
            "<h2>Title</h2>\n<p>Ask for a <strong>key</strong> at <a href=\"https://example.org/a?b=1&amp;c=2\" \
             rel=\"noopener noreferrer nofollow\">us</a>.</p>\n<table><thead><tr><th>a</th></tr></thead><tbody>\n<tr><td>1</td></tr>\n</tbody></table>\n"
        );
    }

    #[test]
    fn nothing_that_acts_gets_through() {
        for text in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "![x](https://evil.example/pixel.png)",
            "[x](javascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "<a href=\"vbscript:x\">x</a>",
            "<p style=\"position:fixed\" onclick=\"x()\">x</p>",
            "<iframe src=\"https://evil.example\"></iframe>",
            "<form action=\"/demo/api/profile/close\"><button>x</button></form>",
            "<svg onload=alert(1)>",
            "<style>*{display:none}</style>",
            "<base href=\"https://evil.example\">",
            "<meta http-equiv=refresh content=0>",
        ] {
            let out = html(text).to_lowercase();
            for forbidden in [
                "<script",
                "<img",
                "javascript:",
                "vbscript:",
                "data:",
                "style",
                "onclick",
                "onerror",
                "onload",
                "<iframe",
                "<form",
                "<button",
                "<svg",
                "<base",
                "<meta",
            ] {
                assert!(!out.contains(forbidden), "{text} became {out}");
            }
        }
    }
}
