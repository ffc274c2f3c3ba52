//! Documents as the control plane and the gateway meet them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use policy::{
    Document, Format, Problem, Scope, effective, named_values_in, parse, reformat,
    substitute_named_values,
};
use proptest::prelude::*;

fn problem(line: u32, column: u32, element: Option<&str>, message: &str) -> Problem {
    Problem {
        line,
        column,
        message: message.to_owned(),
        element: element.map(str::to_owned),
    }
}

fn inbound(xml: &str) -> Vec<Problem> {
    parse(
        &format!("<policies><inbound>\n{xml}</inbound></policies>"),
        Format::RawXml,
        Scope::Product,
    )
    .unwrap_err()
}

fn elements(document: &Document) -> [Vec<&'static str>; 4] {
    [
        &document.inbound,
        &document.backend,
        &document.outbound,
        &document.on_error,
    ]
    .map(|steps| steps.iter().map(|step| step.kind.element()).collect())
}

#[test]
fn policies_that_are_not_here_say_so_and_what_does_the_same() {
    for (element, message) in [
        (
            "invoke-dapr-binding",
            "Policy 'invoke-dapr-binding' is not supported: there is no Dapr beside the gateway; send-request calls its HTTP address where there is.",
        ),
        (
            "llm-token-limit",
            "Policy 'llm-token-limit' is not supported: rate-limit-by-key and cache-lookup-value serve calls of language models, too.",
        ),
        ("unheard-of", "Unknown policy 'unheard-of' at position 1."),
    ] {
        let xml = format!("<policies><inbound><{element} /></inbound></policies>");
        let problems = parse(&xml, Format::RawXml, Scope::Api).unwrap_err();
        let told: Vec<&str> = problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(told, [message]);
    }
}

#[test]
fn every_problem_is_listed_in_order() {
    let xml = "<policies>\n  <inbound>\n    <rate-limit calls=\"many\" renewal-period=\"301\" />\n    <nonsense />\n    <forward-request />\n  </inbound>\n  <inbound />\n</policies>";
    assert_eq!(
        parse(xml, Format::Xml, Scope::Product).unwrap_err(),
        [
            problem(
                3,
                5,
                Some("rate-limit"),
                "'renewal-period' must be from 1 to 300 seconds."
            ),
            problem(
                3,
                24,
                Some("rate-limit"),
                "'many' is not valid for 'calls': expected a whole number, not negative."
            ),
            problem(
                4,
                5,
                Some("nonsense"),
                "Unknown policy 'nonsense' at position 2."
            ),
            problem(
                5,
                5,
                Some("forward-request"),
                "Policy is not allowed in section 'inbound'."
            ),
            problem(
                7,
                3,
                Some("inbound"),
                "Section 'inbound' occurs more than once."
            ),
        ]
    );
}

#[test]
fn problems_of_single_policies() {
    let cases: [(&str, u32, &str, &str); 14] = [
        (
            "<quota calls=\"1\" renewal-period=\"10\" />",
            1,
            "quota",
            "'renewal-period' must be 0 or at least 300 seconds.",
        ),
        (
            "<quota renewal-period=\"300\" />",
            1,
            "quota",
            "At least one of 'calls' and 'bandwidth' is required.",
        ),
        (
            "<set-header name=\"a\" />",
            1,
            "set-header",
            "Required element 'value' is missing.",
        ),
        (
            "<set-header name=\"a\" exists-action=\"keep\"><value/></set-header>",
            37,
            "set-header",
            "'keep' is not valid for 'exists-action': expected 'override', 'skip', 'append' or 'delete'.",
        ),
        (
            "<rewrite-uri template=\"/a/{b\" />",
            1,
            "rewrite-uri",
            "'/a/{b' is not valid for 'template': a brace is not closed.",
        ),
        (
            "<ip-filter action=\"allow\"><address>1.2.3</address></ip-filter>",
            36,
            "address",
            "'1.2.3' is not valid: expected an IPv4 or IPv6 address.",
        ),
        (
            "<choose />",
            1,
            "choose",
            "Required element 'when' is missing.",
        ),
        (
            "<choose><when condition=\"@(1)\" /></choose>",
            28,
            "when",
            "The expression must give a value of type 'bool'; use a cast.",
        ),
        (
            "<set-variable name=\"a\" value=\"@(context.Nothing)\" />",
            41,
            "set-variable",
            "'context' does not contain a definition for 'Nothing'.",
        ),
        (
            "<retry condition=\"@(true)\" count=\"51\" interval=\"1\" />",
            1,
            "retry",
            "'count' must be from 1 to 50.",
        ),
        (
            "<wait><set-method>GET</set-method></wait>",
            7,
            "set-method",
            "Policy is not allowed inside 'wait'.",
        ),
        (
            "<set-backend-service />",
            1,
            "set-backend-service",
            "One of the attributes 'base-url' and 'backend-id' is required.",
        ),
        (
            "<rate-limit calls=\"@(1)\" renewal-period=\"1\" />",
            20,
            "rate-limit",
            "Policy expressions are not allowed in 'calls'.",
        ),
        (
            "<cross-domain><cross-domain-policy /></cross-domain>",
            1,
            "cross-domain",
            "Policy is not allowed in this scope.",
        ),
    ];
    for (xml, column, element, message) in cases {
        assert_eq!(
            inbound(xml),
            [problem(2, column, Some(element), message)],
            "{xml}"
        );
    }
}

#[test]
fn malformed_documents_give_one_position() {
    let cases: [(&str, u32, u32, &str); 6] = [
        ("", 1, 1, "Root element is missing."),
        (
            "<policies>\n<inbound></policies>",
            2,
            10,
            "The start tag 'inbound' does not match the end tag of 'policies'.",
        ),
        (
            "<policies a=1 />",
            1,
            13,
            "The value of attribute 'a' must be quoted.",
        ),
        (
            "<policies>&nbsp;</policies>",
            1,
            11,
            "Reference to undeclared entity 'nbsp'.",
        ),
        (
            "<!DOCTYPE a []><policies />",
            1,
            1,
            "DTD is prohibited in a policy document.",
        ),
        (
            "<policies /><policies />",
            1,
            13,
            "There are multiple root elements or text after the root element.",
        ),
    ];
    for (xml, line, column, message) in cases {
        assert_eq!(
            parse(xml, Format::Xml, Scope::Api),
            Err(vec![problem(line, column, None, message)]),
            "{xml}"
        );
    }
}

#[test]
fn raw_expressions_hold_quotes_generics_and_ampersands() {
    let xml = "<policies><inbound><choose><when condition=\"@(context.Request.Body.As<string>(preserveContent: true) == \"a\" && true)\"><base /></when></choose></inbound></policies>";
    let document = parse(xml, Format::RawXml, Scope::Api).unwrap();
    assert_eq!(elements(&document)[0], ["choose"]);
    assert!(parse(xml, Format::Xml, Scope::Api).is_err());
    let escaped = reformat(xml, Format::RawXml, Format::Xml).unwrap();
    assert_eq!(
        parse(&escaped, Format::Xml, Scope::Api)
            .unwrap()
            .inbound
            .len(),
        1
    );
    assert!(
        reformat(&escaped, Format::Xml, Format::RawXml)
            .unwrap()
            .contains("As<string>(preserveContent: true) == \"a\" && true)")
    );
}

#[test]
fn stored_text_is_indented_with_tabs_and_crlf_and_keeps_comments() {
    let xml = "<?xml version=\"1.0\"?>\n<!-- top --><policies><inbound><!-- in --><set-header name='a'><value>x &amp; y</value></set-header><base/></inbound></policies>";
    assert_eq!(
        reformat(xml, Format::Xml, Format::Xml).unwrap(),
        "<!-- top -->\r\n<policies>\r\n\t<inbound>\r\n\t\t<!-- in -->\r\n\t\t<set-header name=\"a\">\r\n\t\t\t<value>x &amp; y</value>\r\n\t\t</set-header>\r\n\t\t<base />\r\n\t</inbound>\r\n</policies>"
    );
}

#[test]
fn base_decides_whether_outer_scopes_run() {
    let read = |xml: &str, scope| parse(xml, Format::Xml, scope).unwrap();
    let global = read(
        "<policies><inbound><set-method>GET</set-method></inbound><backend><forward-request /></backend></policies>",
        Scope::Global,
    );
    let product = read(
        "<policies><inbound><rate-limit calls=\"5\" renewal-period=\"60\" /><base /></inbound><backend><base /></backend></policies>",
        Scope::Product,
    );
    let operation = read(
        "<policies><inbound><base /><mock-response /></inbound><backend><base /></backend></policies>",
        Scope::Operation,
    );
    let combined = effective(Some(&global), Some(&product), None, Some(&operation));
    assert_eq!(
        elements(&combined),
        [
            vec!["rate-limit", "set-method", "mock-response"],
            vec!["forward-request"],
            vec![],
            vec![]
        ]
    );
    let cut = read("<policies><inbound /></policies>", Scope::Api);
    assert_eq!(
        elements(&effective(
            Some(&global),
            None,
            Some(&cut),
            Some(&Document::inherit())
        )),
        [const { Vec::<&str>::new() }; 4]
    );
}

#[test]
fn fragments_are_put_in_place_and_cycles_found() {
    let fragment = |xml: &str| parse(xml, Format::Xml, Scope::Fragment).unwrap();
    let a = fragment(
        "<fragment><set-method>GET</set-method><include-fragment fragment-id=\"b\" /></fragment>",
    );
    let b = fragment("<fragment><trace source=\"s\">x</trace></fragment>");
    let looped = fragment("<fragment><include-fragment fragment-id=\"looped\" /></fragment>");
    let lookup = |id: &str| match id {
        "a" => Some(a.clone()),
        "b" => Some(b.clone()),
        "looped" => Some(looped.clone()),
        _ => None,
    };
    let read = |id: &str| {
        parse(
            &format!(
                "<policies><inbound><include-fragment fragment-id=\"{id}\" /></inbound></policies>"
            ),
            Format::Xml,
            Scope::Api,
        )
        .unwrap()
    };
    assert_eq!(
        elements(&read("a").resolve_fragments(&lookup).unwrap())[0],
        ["set-method", "trace"]
    );
    assert_eq!(
        read("none").resolve_fragments(&lookup),
        Err(vec![problem(
            1,
            1,
            Some("include-fragment"),
            "Policy fragment 'none' could not be found."
        )])
    );
    assert_eq!(
        read("looped").resolve_fragments(&lookup),
        Err(vec![problem(
            1,
            1,
            Some("include-fragment"),
            "Policy fragment 'looped' includes itself: looped -> looped."
        )])
    );
}

#[test]
fn named_values_are_found_and_escaped() {
    let xml = "<a b=\"{{key}}\">{{other-1}} {{ body.x }} {{key}}</a>";
    assert_eq!(named_values_in(xml), ["key", "other-1"]);
    let lookup = |name: &str| (name != "other-1").then(|| "\"<&".to_owned());
    assert_eq!(
        substitute_named_values(xml, lookup),
        Err(vec![problem(
            1,
            16,
            None,
            "Cannot find a property 'other-1'."
        )])
    );
    assert_eq!(
        substitute_named_values("<a b=\"{{key}}\" />", lookup).unwrap(),
        "<a b=\"&quot;&lt;&amp;\" />"
    );
}

proptest! {
    #[test]
    fn parsing_never_panics_and_positions_are_in_range(
        xml in "(<policies>|<inbound>|</inbound>|</policies>|<set-header name=\"a\">|<value>|</value>|</set-header>|<choose>|<when condition=\"|@\\(|@\\{|\\)|\\}|\"|\\$\"\\{|context|\\.Request|x => |&amp;|&|<base />|<!--|-->|é|\n| |\\?\\.|\\[|\\]|new |return |;){0,40}",
        raw in any::<bool>(),
    ) {
        let format = if raw { Format::RawXml } else { Format::Xml };
        if let Err(problems) = parse(&xml, format, Scope::Api) {
            let lines: Vec<&str> = xml.split('\n').collect();
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let line = lines.get(problem.line as usize - 1);
                prop_assert!(line.is_some_and(|line| (1..=line.chars().count() as u32 + 1).contains(&problem.column)), "{problem:?}");
            }
        }
        let _ = (reformat(&xml, format, Format::Xml), named_values_in(&xml));
    }
}
