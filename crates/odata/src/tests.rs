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
            "properties/name( eq 'x'",
            16,
            "expected one of eq, ne, gt, ge, lt, le",
        ),
        ("tags/all()", 10, "expected the name of the element"),
        (
            "a ge datetime'12017-06-01T00:00:00'",
            6,
            "'12017-06-01T00:00:00' is not a time such as 2017-06-01T00:00:00",
        ),
        (
            "a ge 0000-01-01",
            6,
            "'0000-01-01' is neither a number nor a time such as 2017-06-01T00:00:00Z",
        ),
        (
            "a ge 2017-06-01T00:00ZZ",
            6,
            "'2017-06-01T00:00ZZ' is neither a number nor a time such as 2017-06-01T00:00:00Z",
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
fn nesting_and_length_are_limited() {
    let deep = format!("{}a eq 1{}", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(
        refused(&deep),
        (130, "nested deeper than 128 parentheses".to_owned())
    );
    let chain = vec!["a eq 1"; 500].join(" and ");
    assert!(refused(&chain).1.contains("nested deeper than 64 levels"));
    let long = format!("a eq '{}'", "x".repeat(10_000));
    assert!(refused(&long).1.contains("longer than"));
}

/// Height of a tree; a leaf's is 1.
fn height(expr: &Expr) -> usize {
    1 + match expr {
        Expr::And(a, b) | Expr::Or(a, b) => height(a).max(height(b)),
        Expr::Not(a) | Expr::Any { body: Some(a), .. } | Expr::All { body: a, .. } => height(a),
        Expr::Compare { .. } | Expr::Call { .. } | Expr::Any { body: None, .. } | Expr::Bare(_) => {
            0
        }
    }
}

#[test]
fn chains_within_parentheses_add_up_to_one_height() {
    // Each pair of parentheses around a chain of its own: few parentheses, a tall tree.
    let chain = |parentheses: usize, terms: usize| {
        (0..parentheses).fold("a".to_owned(), |inner, _| {
            format!("({inner}{})", " and a".repeat(terms))
        })
    };
    assert_eq!(height(&parse_filter(&chain(7, 9)).unwrap()), MAX_DEPTH);
    assert!(
        refused(&chain(8, 8))
            .1
            .contains("nested deeper than 64 levels")
    );
    assert!(
        refused(&chain(30, 40))
            .1
            .contains("nested deeper than 64 levels")
    );
}

#[test]
fn the_tallest_tree_reads_back_from_its_print() {
    let nots = format!("{}a", "not ".repeat(MAX_DEPTH - 1));
    let groups =
        "not (b and ".repeat((MAX_DEPTH - 2) / 2) + "not a" + &")".repeat((MAX_DEPTH - 2) / 2);
    for text in [nots, groups] {
        let expr = parse_filter(&text).unwrap();
        assert_eq!(height(&expr), MAX_DEPTH, "{text}");
        assert_eq!(parse_filter(&expr.to_string()).unwrap(), expr, "{text}");
    }
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
        field().prop_map(|field| Expr::Any {
            field,
            variable: String::new(),
            body: None
        }),
    ];
    leaf.prop_recursive(5, 32, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::Or(Box::new(a), Box::new(b))),
            inner.clone().prop_map(|a| Expr::Not(Box::new(a))),
            (field(), inner.clone()).prop_map(|(field, body)| Expr::Any {
                field,
                variable: "element".into(),
                body: Some(Box::new(body))
            }),
            (field(), inner).prop_map(|(field, body)| Expr::All {
                field,
                variable: "element".into(),
                body: Box::new(body)
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
    fn what_likely_pieces_make_is_refused_or_reads_back_from_its_print(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "(", ")", "and", "or", "not", "name", "name eq 1", "eq", "'x'", "1", "/", ",", ":",
            "t/any(e:", "t/any()", "contains(name,'x')", "datetime'", "2017-06-01", "null", " "
        ]), 0..40)) {
        if let Ok(expr) = parse_filter(&pieces.join(" ")) {
            prop_assert!(height(&expr) <= MAX_DEPTH);
            prop_assert_eq!(parse_filter(&expr.to_string()).unwrap(), expr);
        }
    }
}
