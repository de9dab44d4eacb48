//! Who may log in, with which password, and where that leads.

use std::collections::HashMap;
use std::fmt;

use subtle::{Choice, ConstantTimeEq};

/// The longest password, in bytes of UTF-8. A Client Info PDU carries at most 512 bytes of UTF-16
/// (MS-RDPBCGR 2.2.1.11.1.1), which is at most 768 bytes here.
const MAX_PASSWORD: usize = 768;
/// The longest user name, in bytes of UTF-8.
const MAX_USER: usize = 256;

/// A password. Does not show itself in logs.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// `text` as a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One line of the table of users.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name at the login. Compared exactly, case included; a domain that the client sends along is ignored.
    pub user: String,
    /// The password that belongs to it.
    pub password: Password,
    /// The session that the login leads to.
    pub session: String,
}

/// A login that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name, as it stands in the table.
    pub user: String,
    /// The session that the login leads to.
    pub session: String,
}

/// The table of users cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Two lines have the same user.
    #[error("the user {0:?} is there twice: give every user one password and one session")]
    Twice(String),
    /// A user name that no client could send.
    #[error("{0:?} cannot be a user name: use 1 to {MAX_USER} bytes without '\\', '@' and control characters")]
    User(String),
    /// A password that no client could send.
    #[error("the password of {0:?} cannot be used: give it 1 to {MAX_PASSWORD} bytes and no control characters")]
    Password(String),
    /// There is nobody who could log in.
    #[error("there is no user who may log in: add one")]
    Empty,
}

/// The table of users. Any thread.
#[derive(Debug)]
pub struct Accounts {
    by_user: HashMap<String, Account>,
}

impl Accounts {
    /// A table of `accounts`.
    ///
    /// # Errors
    /// [`AccountError`] where a name or a password could never match, a user is there twice, or there is none.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Result<Self, AccountError> {
        let mut by_user = HashMap::new();
        for account in accounts {
            let user = account.user.clone();
            let usable =
                |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
            if !usable(&user, MAX_USER) || user.contains(['\\', '@']) {
                return Err(AccountError::User(user));
            }
            if !usable(account.password.expose(), MAX_PASSWORD) {
                return Err(AccountError::Password(user));
            }
            if by_user.insert(user.clone(), account).is_some() {
                return Err(AccountError::Twice(user));
            }
        }
        if by_user.is_empty() { Err(AccountError::Empty) } else { Ok(Self { by_user }) }
    }

    /// The account of the user whom a client calls `name`: `user`, `user@anything` or `anything\user`.
    pub(super) fn find(&self, name: &str) -> Option<&Account> {
        self.by_user.get(account_name(name))
    }

    /// Checks a password that came in the clear (inside TLS). Takes the same time for a known user, for an unknown one,
    /// and wherever the password differs.
    pub(super) fn check(&self, name: &str, password: &str) -> Option<Login> {
        let account = self.find(name);
        let expected = Padded::new(account.map_or("", |account| account.password.expose()));
        let same = expected.same_as(&Padded::new(password)) & Choice::from(u8::from(account.is_some()));
        account.filter(|_| bool::from(same)).map(Login::from)
    }
}

impl From<&Account> for Login {
    fn from(account: &Account) -> Self {
        Self { user: account.user.clone(), session: account.session.clone() }
    }
}

/// The user in `user`, `user@domain` or `domain\user`.
pub(super) fn account_name(name: &str) -> &str {
    let name = name.rsplit_once('\\').map_or(name, |(_, user)| user);
    name.split_once('@').map_or(name, |(user, _)| user)
}

/// A password brought to one length, so that comparing says nothing about its own.
struct Padded {
    bytes: [u8; MAX_PASSWORD],
    length: u64,
}

impl Padded {
    fn new(text: &str) -> Self {
        let mut bytes = [0; MAX_PASSWORD];
        // What is cut off here differs by its length, since no password in the table is longer.
        for (to, from) in bytes.iter_mut().zip(text.as_bytes()) {
            *to = *from;
        }
        Self { bytes, length: u64::try_from(text.len()).unwrap_or(u64::MAX) }
    }

    fn same_as(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str, password: &str) -> Account {
        Account { user: user.into(), password: Password::new(password), session: format!("{user}'s") }
    }

    #[test]
    fn the_right_password_leads_to_the_users_session() {
        let accounts = Accounts::new([account("ann", "one"), account("bob", "two")]).unwrap();
        let ann = Some(Login { user: "ann".into(), session: "ann's".into() });
        assert_eq!(accounts.check("ann", "one"), ann);
        assert_eq!(accounts.check("DOMAIN\\ann", "one"), ann);
        assert_eq!(accounts.check("ann@example.org", "one"), ann);
        for (user, password) in
            [("ann", "two"), ("ann", ""), ("ann", "one\0"), ("ann", "on"), ("Ann", "one"), ("carl", ""), ("", "")]
        {
            assert_eq!(accounts.check(user, password), None, "{user} {password}");
        }
        let long = "x".repeat(MAX_PASSWORD);
        let accounts = Accounts::new([account("ann", &long)]).unwrap();
        assert!(accounts.check("ann", &long).is_some());
        assert!(accounts.check("ann", &format!("{long}x")).is_none());
    }

    #[test]
    fn a_table_that_could_not_work_is_refused() {
        let refused = |accounts: &[Account]| Accounts::new(accounts.to_vec()).unwrap_err();
        assert_eq!(refused(&[]), AccountError::Empty);
        assert_eq!(refused(&[account("ann", "1"), account("ann", "2")]), AccountError::Twice("ann".into()));
        assert_eq!(refused(&[account("a@b", "1")]), AccountError::User("a@b".into()));
        assert_eq!(refused(&[account("", "1")]), AccountError::User(String::new()));
        assert_eq!(refused(&[account("ann", "")]), AccountError::Password("ann".into()));
        assert_eq!(refused(&[account("ann", "a\nb")]), AccountError::Password("ann".into()));
    }

    #[test]
    fn a_password_does_not_show_in_logs() {
        assert!(!format!("{:?}", account("ann", "secret")).contains("secret"));
    }
}
