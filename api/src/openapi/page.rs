//! The same for people: a page of plain HTML that asks no other host for anything.

use super::{Bearer, Field, Kind, operations};

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>The session API</title>
</head>
<body>
<h1>The session API</h1>
<p>For machines: <a href=\"openapi.json\">openapi.json</a>. A field with * must be given. Every problem has a
<code>code</code>, whose page is its <code>type</code>.</p>
";

/// The page. All of its texts are ours.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for operation in operations::all() {
        let bearer = match operation.bearer {
            Bearer::Nobody => "no token",
            Bearer::Participant => "the token of a participant",
            Bearer::Admin => "the key of an admin",
        };
        let method = operation.method.to_uppercase();
        page.push_str(&format!(
            "<h2><code>{method} {}</code></h2>\n<p>{} <em>Takes {bearer}; answers {}.</em></p>\n",
            operation.path, operation.summary, operation.status
        ));
        let places = [
            ("Headers", operation.headers),
            ("Query", operation.query),
            ("Body", operation.body.unwrap_or_default()),
        ];
        for (place, fields) in places {
            if !fields.is_empty() {
                let fields: String = fields.iter().map(line).collect();
                page.push_str(&format!("<p>{place}:</p>\n<ul>\n{fields}</ul>\n"));
            }
        }
        let failures: Vec<_> = operation.failures().iter().map(u16::to_string).collect();
        page.push_str(&format!("<p>Problems: {}</p>\n", failures.join(", ")));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn line(field: &Field) -> String {
    let star = if field.is_required { "*" } else { "" };
    let kind = match field.kind {
        Kind::Line(most) => format!("a line of at most {most} characters"),
        Kind::Lines(most) => format!("at most {most} characters"),
        Kind::Name(most) => format!("at most {most} letters, digits, underscores, hyphens or dots"),
        Kind::User => "what the app calls somebody".to_owned(),
        Kind::Users => "two of what the app calls somebody".to_owned(),
        Kind::Id => "an id".to_owned(),
        Kind::OneOf(words) => words.join(", "),
        Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Truth => "true or false".to_owned(),
        Kind::Code => "six digits".to_owned(),
        Kind::InviteToken => "the token of an invite".to_owned(),
        Kind::Time => "a time such as 2026-01-31T12:00:00Z".to_owned(),
        Kind::Key => "at most 128 characters of ASCII without spaces".to_owned(),
        Kind::Number
        | Kind::Cursor
        | Kind::NumberedCursor
        | Kind::TableCursor
        | Kind::AnyCursor => "what an answer gave as next".to_owned(),
    };
    format!("<li><code>{}</code>{star}: {kind}</li>\n", field.name)
}
