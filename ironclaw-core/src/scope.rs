//! Who acts, for whom, on whose data.

use crate::id::{AgentName, SpaceName, TenantId, ToolName, UserId};
use crate::input::{InputError, Problem, check_size, check_text, parsed};

mod owner;

pub use owner::Owner;

/// The first argument of every operation on a user's data: whose data it is and who acts.
///
/// Its fields are private, so that a scope can be narrowed (an agent acting for its user, a tool acting for the
/// agent) but never widened to another owner.
///
/// ```
/// use ironclaw_core::{Principal, Scope};
///
/// let ada = Scope::user("ada")?;
/// let agent = ada.acting(Principal::agent("assistant")?);
/// assert_eq!(agent.owner().name(), "ada");
/// assert_eq!(agent.chain().len(), 2);
/// # Ok::<(), ironclaw_core::InputError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    tenant: TenantId,
    person: UserId,
    owner: Owner,
    chain: Vec<Principal>,
    request: RequestContext,
}

impl Scope {
    /// The most principals who act for one another in what is written.
    pub const PRINCIPALS: usize = 64;

    /// The scope of the user of this name acting in person, in the default tenant.
    ///
    /// # Errors
    /// What [`UserId::parse`] refuses.
    pub fn user(name: impl TryInto<UserId, Error: Into<InputError>>) -> Result<Self, InputError> {
        Ok(Self::of(parsed(name)?))
    }

    /// The scope of the user of this name of `tenant` acting in person.
    ///
    /// # Errors
    /// What [`TenantId::parse`] and [`UserId::parse`] refuse.
    pub fn tenant_user(
        tenant: impl TryInto<TenantId, Error: Into<InputError>>,
        name: impl TryInto<UserId, Error: Into<InputError>>,
    ) -> Result<Self, InputError> {
        Ok(Self::of_tenant(parsed(tenant)?, parsed(name)?))
    }

    /// [`Self::user`] for a name that was parsed already.
    pub fn of(owner: UserId) -> Self {
        Self::of_tenant(TenantId::default_tenant(), owner)
    }

    /// [`Self::tenant_user`] for names that were parsed already.
    pub fn of_tenant(tenant: TenantId, owner: UserId) -> Self {
        let (chain, request) = (vec![Principal::User(owner.clone())], RequestContext::default());
        Self { tenant, owner: Owner::User(owner.clone()), person: owner, chain, request }
    }

    /// The same owner, with one more principal at the end of the chain: who acts for those before it.
    #[must_use]
    pub fn acting(&self, principal: Principal) -> Self {
        let mut scope = self.clone();
        scope.chain.push(principal);
        scope
    }

    /// The same scope in a space: its data instead of the user's own. Whether the user is a member of it is checked by the
    /// store, in the transaction of each call: to everybody else the space is not there.
    ///
    /// ```
    /// use ironclaw_core::Scope;
    ///
    /// let ada = Scope::user("ada")?;
    /// let team = ada.in_space("team")?;
    /// assert_eq!(team.person(), ada.person());
    /// assert_ne!(team.owner(), ada.owner());
    /// # Ok::<(), ironclaw_core::InputError>(())
    /// ```
    ///
    /// # Errors
    /// What [`SpaceName::parse`] refuses.
    pub fn in_space(&self, name: impl TryInto<SpaceName, Error: Into<InputError>>) -> Result<Self, InputError> {
        Ok(Self { owner: Owner::Space(parsed(name)?), ..self.clone() })
    }

    /// The same scope in the user's own place, outside of any space.
    #[must_use]
    pub fn outside(&self) -> Self {
        Self { owner: Owner::User(self.person.clone()), ..self.clone() }
    }

    /// The same scope with nobody between: the user acts in person.
    #[must_use]
    pub fn in_person(&self) -> Self {
        Self { chain: vec![Principal::User(self.person.clone())], ..self.clone() }
    }

    /// The same scope within this request.
    #[must_use]
    pub fn in_request(&self, request: RequestContext) -> Self {
        Self { request, ..self.clone() }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whose data it is: the user's own, or a space's.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The user who acts, or for whom others act.
    pub fn person(&self) -> &UserId {
        &self.person
    }

    /// The space, if the scope is in one.
    pub fn space(&self) -> Option<&SpaceName> {
        match &self.owner {
            Owner::User(_) => None,
            Owner::Space(name) => Some(name),
        }
    }

    /// Who acts for whom: the user first, whoever acts now last. Never empty.
    pub fn chain(&self) -> &[Principal] {
        &self.chain
    }

    /// Whether the user acts in person, with no agent and no tool in between.
    pub fn is_in_person(&self) -> bool {
        self.chain.len() == 1
    }

    /// Refuses a chain of more than [`Self::PRINCIPALS`], of which no store keeps an event, and one in which a second user
    /// acts: agents and tools act for the user, and other users in [spaces](Self::in_space). Every store calls this before
    /// it writes.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] or [`Problem::Malformed`] on `principals`.
    pub fn validate(&self) -> Result<(), InputError> {
        if self.chain.iter().skip(1).any(|principal| matches!(principal, Principal::User(_))) {
            let expected = "agents and tools after the user; another user has a scope of their own";
            return Err(InputError::new("principals", Problem::Malformed { expected }));
        }
        check_size("principals", self.chain.len(), Self::PRINCIPALS, "items")
    }

    /// The agent nearest to the end of the chain, if one acts.
    pub fn agent(&self) -> Option<&AgentName> {
        self.chain.iter().rev().find_map(|p| match p {
            Principal::Agent(name) => Some(name),
            _ => None,
        })
    }

    /// The request's context, for the audit trail.
    pub fn request(&self) -> &RequestContext {
        &self.request
    }
}

/// One who acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
#[non_exhaustive]
pub enum Principal {
    /// A person.
    User(UserId),
    /// An agent, for a person.
    Agent(AgentName),
    /// A tool, for an agent.
    Tool(ToolName),
}

impl Principal {
    /// The user of this name.
    ///
    /// # Errors
    /// What [`UserId::parse`] refuses.
    pub fn user(name: impl TryInto<UserId, Error: Into<InputError>>) -> Result<Self, InputError> {
        parsed(name).map(Self::User)
    }

    /// The agent of this name.
    ///
    /// # Errors
    /// What [`AgentName::parse`] refuses.
    pub fn agent(name: impl TryInto<AgentName, Error: Into<InputError>>) -> Result<Self, InputError> {
        parsed(name).map(Self::Agent)
    }

    /// The tool of this name.
    ///
    /// # Errors
    /// What [`ToolName::parse`] refuses.
    pub fn tool(name: impl TryInto<ToolName, Error: Into<InputError>>) -> Result<Self, InputError> {
        parsed(name).map(Self::Tool)
    }

    /// `user`, `agent` or `tool`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
        }
    }

    /// The principal's name.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) => name.as_str(),
            Self::Agent(name) => name.as_str(),
            Self::Tool(name) => name.as_str(),
        }
    }
}

/// Where a call came from, kept in the private part of its audit events.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RequestContext {
    id: Option<String>,
    ip: Option<std::net::IpAddr>,
    user_agent: Option<String>,
}

impl RequestContext {
    /// The longest request id and user agent, in bytes.
    pub const TEXT_BYTES: usize = 1024;

    /// A request's context; all parts are optional.
    ///
    /// # Errors
    /// An id or user agent of more than [`Self::TEXT_BYTES`] bytes, or with U+0000 in it.
    pub fn new(
        id: Option<String>,
        ip: Option<std::net::IpAddr>,
        user_agent: Option<String>,
    ) -> Result<Self, InputError> {
        check_text("request id", id.as_deref().unwrap_or_default(), Self::TEXT_BYTES)?;
        check_text("user agent", user_agent.as_deref().unwrap_or_default(), Self::TEXT_BYTES)?;
        Ok(Self { id, ip, user_agent })
    }

    /// The host's id of the request.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The address the request came from.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.ip
    }

    /// The program that sent the request.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_names_make_the_same_scope() {
        let (acme, ada) = (TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
        assert_eq!(Scope::user("ada").unwrap(), Scope::of(ada.clone()));
        assert_eq!(Scope::user(&ada).unwrap(), Scope::user(String::from("ada")).unwrap());
        assert_eq!(Scope::tenant_user("acme", ada.clone()).unwrap(), Scope::of_tenant(acme, ada));
        assert_eq!(Scope::user("").unwrap_err().to_string(), "user: must not be empty");
        assert_eq!(Scope::tenant_user("a\nb", "ada").unwrap_err().field(), "tenant");
        assert_eq!(Principal::agent("\0").unwrap_err().field(), "agent");
    }
}
