//! A Rust source without its comments, strings and spaces, in which words can be searched.

/// The code alone, cut into words and single signs, each with its line.
#[derive(Debug)]
pub(crate) struct Code {
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Code {
    /// Cuts a source into its words.
    pub(crate) fn of(source: &str) -> Self {
        Self { tokens: words(&without_comments_and_strings(source)) }
    }

    /// Whether the words of `code` follow on each other somewhere, whatever spaces lie between.
    pub(crate) fn contains(&self, code: &str) -> bool {
        !self.lines_with(code).is_empty()
    }

    /// The lines on which such places begin.
    pub(crate) fn lines_with(&self, code: &str) -> Vec<usize> {
        let wanted = words(code);
        self.tokens
            .windows(wanted.len().max(1))
            .filter(|place| place.iter().zip(&wanted).all(|(have, want)| have.text == want.text))
            .filter_map(|place| place.first().map(|token| token.line))
            .collect()
    }

    /// Whether the item on that line has `#[cfg(test)]` right before it.
    pub(crate) fn is_for_tests(&self, line: usize) -> bool {
        let before = self.tokens.iter().take_while(|token| token.line < line).count();
        let item = self.tokens.iter().skip(before).position(|token| token.text == "extern").unwrap_or(0);
        let guard = words("#[cfg(test)]");
        let Some(start) = (before + item).checked_sub(guard.len()) else { return false };
        self.tokens.iter().skip(start).zip(&guard).all(|(have, want)| have.text == want.text)
    }
}

fn words(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut open = false;
    for (index, text) in code.split('\n').enumerate() {
        for sign in text.chars() {
            let of_word = sign.is_alphanumeric() || sign == '_';
            match tokens.last_mut() {
                Some(token) if of_word && open => token.text.push(sign),
                _ if sign.is_whitespace() => {}
                _ => tokens.push(Token { text: sign.to_string(), line: index + 1 }),
            }
            open = of_word;
        }
        open = false;
    }
    tokens
}

/// The source with every comment, string and character turned into spaces; lines stay where they are.
fn without_comments_and_strings(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(sign) = rest.chars().next() {
        let length = opaque(rest, code.chars().next_back());
        if length == 0 {
            code.push(sign);
            rest = rest.get(sign.len_utf8()..).unwrap_or_default();
        } else {
            let (hidden, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            code.extend(hidden.chars().map(|sign| if sign == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// Bytes of the comment, string or character that `rest` begins with; 0 where it begins with code.
fn opaque(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return 1 + quoted(rest.get(1..).unwrap_or_default(), '"');
    }
    let in_word = before.is_some_and(|sign| sign.is_alphanumeric() || sign == '_');
    if !in_word && let Some(length) = raw_string(rest) {
        return length;
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Bytes up to and with the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices() {
        if sign == quote && !escaped {
            return at + 1;
        }
        escaped = sign == '\\' && !escaped;
    }
    text.len()
}

/// Bytes of a raw string (`r"…"`, `br#"…"#`).
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let inside = body.trim_start_matches('#');
    let hashes = body.len() - inside.len();
    let inside = inside.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closing = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(rest.len() - inside.len() + closing)
}

/// Bytes of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut signs = rest.char_indices().skip(1);
    match (signs.next(), signs.next()) {
        (Some((_, '\\')), _) => 1 + quoted(rest.get(1..).unwrap_or_default(), '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, word: &str) -> Vec<usize> {
        Code::of(source).lines_with(word)
    }

    #[test]
    fn comments_and_strings_hide_words() {
        let source = "// unsafe\n/* unsafe /* unsafe */ unsafe */\n\"unsafe \\\" unsafe\";\nr#\"unsafe \" unsafe\"#;\n'u'; b\"unsafe\";";
        assert!(found(source, "unsafe").is_empty(), "{}", without_comments_and_strings(source));
        assert_eq!(found(&format!("{source}\nunsafe"), "unsafe"), [6]);
    }

    #[test]
    fn lifetimes_are_no_characters() {
        assert_eq!(found("fn f<'a>(x: &'a str) { unsafe {} }", "unsafe"), [1]);
        assert_eq!(found("let q = '\\''; let r = '\"'; unsafe", "unsafe"), [1]);
    }

    #[test]
    fn words_match_whole_and_across_spaces() {
        assert_eq!(found("Instant ::\n now()", "Instant::now"), [1]);
        assert!(found("MyInstant::now(); Instant::nowhere()", "Instant::now").is_empty());
        assert!(found("var\"unsafe\"", "unsafe").is_empty());
    }

    #[test]
    fn a_guard_for_tests_is_seen() {
        assert!(Code::of("#[cfg(test)]\nextern crate std;").is_for_tests(2));
        assert!(!Code::of("#[cfg(feature)]\nextern crate std;").is_for_tests(2));
        assert!(!Code::of("extern crate std;").is_for_tests(1));
    }
}
