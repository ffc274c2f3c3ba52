#![expect(clippy::unwrap_used, reason = "a failed parse fails the test")]

use crate::*;
use proptest::prelude::*;

fn shown(text: &str) -> String {
    parse_filter(text).unwrap().to_string()
}

fn refused(text: &str) -> (usize, String) {
    let error = parse_filter(text).unwrap_err();
    (error.position, error.message)
}

#[test]
fn what_real_clients_write_is_read() {
    for (text, printed) in [
        (
            "properties/displayName eq 'Echo API'",
            "properties/displayName eq 'Echo API'",
        ),
        ("name eq 'it''s'", "name eq 'it''s'"),
        (
            "contains(properties/displayName,'BES')",
            "contains(properties/displayName,'BES')",
        ),
        ("substringof('x', name)", "substringof('x',name)"),
        (
            "startswith(name,'a') or not endswith(name,'b')",
            "(startswith(name,'a') or not (endswith(name,'b')))",
        ),
        (
            "a eq 1 and b eq -2.5 or c ne null",
            "((a eq 1 and b eq -2.5) or c ne null)",
        ),
        (
            "a eq 1 and (b eq 2 or c eq TRUE)",
            "(a eq 1 and (b eq 2 or c eq true))",
        ),
        ("tags/any(t: t eq 'x')", "tags/any(t: t eq 'x')"),
        ("tags/any()", "tags/any()"),
        (
            "tags/all(t: startswith(t,'x'))",
            "tags/all(t: startswith(t,'x'))",
        ),
        ("isCurrent and a eq 1", "(isCurrent and a eq 1)"),
        (
            "a ge datetime'2017-06-01T00:00:00'",
            "a ge datetime'2017-06-01T00:00:00Z'",
        ),
        ("a ge 2017-06-01", "a ge datetime'2017-06-01T00:00:00Z'"),
        (
            "a lt 2017-06-01T10:30:00+02:00",
            "a lt datetime'2017-06-01T08:30:00Z'",
        ),
    ] {
        assert_eq!(shown(text), printed, "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (text, position, message) in [
        ("", 1, "expected the name of a field"),
        (
            "name eq",
            8,
            "expected a value: a text in single quotes, a number, a time, true, false or null",
        ),
        ("name like 'x'", 6, "expected one of eq, ne, gt, ge, lt, le"),
        ("name eq 'x", 9, "the text has no closing quote"),
        ("(name eq 'x'", 13, "expected ')'"),
        ("name eq 'x' 'y'", 13, "expected the end of the expression"),
        (
            "frobnicate(name,'x')",
            1,
            "'frobnicate' is not one of contains, substringof, startswith, endswith",
        ),
        (
            "a eq 1x",
            6,
            "'1x' is neither a number nor a time such as 2017-06-01T00:00:00Z",
        ),
        (
            "a eq datetime'soon'",
            6,
            "'soon' is not a time such as 2017-06-01T00:00:00",
        ),
        ("a eq \u{1}", 6, "unexpected character '\u{1}'"),
    ] {
        assert_eq!(refused(text), (position, message.to_owned()), "{text}");
    }
}

#[test]
fn depth_and_length_are_limited() {
    let deep = format!("{}a eq 1{}", "(".repeat(1000), ")".repeat(1000));
    assert!(refused(&deep).1.contains("nested deeper"));
    let chain = vec!["a eq 1"; 500].join(" and ");
    assert!(refused(&chain).1.contains("nested deeper"));
    let long = format!("a eq '{}'", "x".repeat(10_000));
    assert!(refused(&long).1.contains("longer than"));
}

#[test]
fn an_order_names_fields_and_directions() {
    let order: Vec<(String, Direction)> = parse_order_by("callCountTotal desc, name")
        .unwrap()
        .into_iter()
        .map(|(f, d)| (f.to_string(), d))
        .collect();
    assert_eq!(
        order,
        [
            ("callCountTotal".to_owned(), Direction::Descending),
            ("name".to_owned(), Direction::Ascending)
        ]
    );
    assert_eq!(parse_order_by("name sideways").unwrap_err().position, 6);
}

fn field() -> impl Strategy<Value = Field> {
    prop::collection::vec("[a-z][a-zA-Z0-9]{2,6}x", 1..3)
        .prop_map(|path| Field { path, position: 1 })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        ".{0,12}".prop_map(Literal::Text),
        (-1_000_000_i32..1_000_000).prop_map(|n| Literal::Number(f64::from(n) / 8.0)),
        any::<bool>().prop_map(Literal::Bool),
        Just(Literal::Null),
        (0_i64..4_000_000_000)
            .prop_map(|s| Literal::DateTime(DateTime::from_timestamp(s, 0).unwrap())),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    let op = prop_oneof![
        Just(Op::Eq),
        Just(Op::Ne),
        Just(Op::Gt),
        Just(Op::Ge),
        Just(Op::Lt),
        Just(Op::Le)
    ];
    let function = prop_oneof![
        Just(Function::Contains),
        Just(Function::SubstringOf),
        Just(Function::StartsWith),
        Just(Function::EndsWith)
    ];
    let leaf = prop_oneof![
        (field(), op, literal()).prop_map(|(field, op, value)| Expr::Compare { field, op, value }),
        (function, field(), ".{0,8}").prop_map(|(function, field, value)| Expr::Call {
            function,
            field,
            value
        }),
        field().prop_map(Expr::Bare),
    ];
    leaf.prop_recursive(5, 32, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::Or(Box::new(a), Box::new(b))),
            inner.clone().prop_map(|a| Expr::Not(Box::new(a))),
            (field(), inner).prop_map(|(field, body)| Expr::Any {
                field,
                variable: "element".into(),
                body: Some(Box::new(body))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_printed_expression_reads_back_the_same(expr in expr()) {
        prop_assert_eq!(parse_filter(&expr.to_string()).unwrap(), expr);
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = parse_filter(&text);
        let _ = parse_order_by(&text);
    }

    #[test]
    fn no_text_of_likely_pieces_panics(pieces in prop::collection::vec(
        prop::sample::select(vec!["(", ")", "and", "or", "not", "name", "eq", "'x'", "1", "/", ",", ":", "any", "datetime'", " "]), 0..40)) {
        let _ = parse_filter(&pieces.join(" "));
    }
}
