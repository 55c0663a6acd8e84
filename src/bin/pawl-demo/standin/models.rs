//! The models that there are, and their fields with the types that Odoo gives them.

/// A model that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    Move,
    Line,
    Partner,
    Product,
    Currency,
    Tax,
    User,
    Group,
    Access,
    ApiKey,
}

/// A field's name, and its type; for a relation, with the model at the other end.
pub type Field = (&'static str, &'static str);

impl Model {
    pub const ALL: [Self; 10] = [
        Self::Move,
        Self::Line,
        Self::Partner,
        Self::Product,
        Self::Currency,
        Self::Tax,
        Self::User,
        Self::Group,
        Self::Access,
        Self::ApiKey,
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Move => "account.move",
            Self::Line => "account.move.line",
            Self::Partner => "res.partner",
            Self::Product => "product.product",
            Self::Currency => "res.currency",
            Self::Tax => "account.tax",
            Self::User => "res.users",
            Self::Group => "res.groups",
            Self::Access => "ir.model.access",
            Self::ApiKey => "res.users.apikeys",
        }
    }

    /// What people call a record of it, and who may change one.
    pub fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Move => ("Journal Entry", "Accounting/Invoicing"),
            Self::Line => ("Journal Item", "Accounting/Invoicing"),
            Self::Partner => ("Contact", "Contact/Creation"),
            Self::Product => ("Product Variant", "Products/Create"),
            Self::Currency => ("Currency", "Accounting/Administrator"),
            Self::Tax => ("Tax", "Accounting/Administrator"),
            Self::User => ("User", "Access Rights"),
            Self::Group => ("Access Groups", "Access Rights"),
            Self::Access => ("Model Access", "Access Rights"),
            Self::ApiKey => ("Users API Keys", "Access Rights"),
        }
    }

    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Move => MOVE,
            Self::Line => LINE,
            Self::Partner => PARTNER,
            Self::Product => PRODUCT,
            Self::Currency => CURRENCY,
            Self::Tax => TAX,
            Self::User => USER,
            Self::Group => GROUP,
            Self::Access => ACCESS,
            Self::ApiKey => API_KEY,
        }
    }

    /// The name as the program spells it, for as long as it runs.
    pub fn field(self, name: &str) -> Option<&'static str> {
        self.fields().iter().map(|(own, _)| *own).find(|own| *own == name)
    }

    pub fn has(self, field: &str) -> bool {
        field == "id" || self.field(field).is_some()
    }
}

const MOVE: &[Field] = &[
    ("name", "char"),
    ("display_name", "char"),
    ("ref", "char"),
    ("date", "date"),
    ("state", "selection"),
    ("move_type", "selection"),
    ("journal_id", "many2one account.journal"),
    ("company_id", "many2one res.company"),
    ("line_ids", "one2many account.move.line"),
    ("invoice_line_ids", "one2many account.move.line"),
    ("invoice_date", "date"),
    ("invoice_date_due", "date"),
    ("invoice_payment_term_id", "many2one account.payment.term"),
    ("partner_id", "many2one res.partner"),
    ("commercial_partner_id", "many2one res.partner"),
    ("payment_reference", "char"),
    ("company_currency_id", "many2one res.currency"),
    ("currency_id", "many2one res.currency"),
    ("invoice_currency_rate", "float"),
    ("amount_untaxed", "monetary"),
    ("amount_tax", "monetary"),
    ("amount_total", "monetary"),
    ("amount_residual", "monetary"),
    ("amount_untaxed_signed", "monetary"),
    ("amount_tax_signed", "monetary"),
    ("amount_total_signed", "monetary"),
    ("amount_total_in_currency_signed", "monetary"),
    ("amount_residual_signed", "monetary"),
    ("payment_state", "selection"),
    ("reversed_entry_id", "many2one account.move"),
    ("fiscal_position_id", "many2one account.fiscal.position"),
    ("invoice_user_id", "many2one res.users"),
    ("invoice_origin", "char"),
    ("narration", "html"),
    ("posted_before", "boolean"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const LINE: &[Field] = &[
    ("move_id", "many2one account.move"),
    ("journal_id", "many2one account.journal"),
    ("company_id", "many2one res.company"),
    ("parent_state", "selection"),
    ("date", "date"),
    ("ref", "char"),
    ("sequence", "integer"),
    ("account_id", "many2one account.account"),
    ("name", "char"),
    ("debit", "monetary"),
    ("credit", "monetary"),
    ("balance", "monetary"),
    ("amount_currency", "monetary"),
    ("currency_id", "many2one res.currency"),
    ("partner_id", "many2one res.partner"),
    ("tax_ids", "many2many account.tax"),
    ("display_type", "selection"),
    ("product_id", "many2one product.product"),
    ("product_uom_id", "many2one uom.uom"),
    ("quantity", "float"),
    ("price_unit", "float"),
    ("price_subtotal", "monetary"),
    ("price_total", "monetary"),
    ("discount", "float"),
    ("analytic_distribution", "json"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const PARTNER: &[Field] = &[
    ("name", "char"),
    ("display_name", "char"),
    ("type", "selection"),
    ("email", "char"),
    ("phone", "char"),
    ("street", "char"),
    ("street2", "char"),
    ("city", "char"),
    ("zip", "char"),
    ("state_id", "many2one res.country.state"),
    ("country_id", "many2one res.country"),
    ("vat", "char"),
    ("ref", "char"),
    ("website", "char"),
    ("is_company", "boolean"),
    ("company_type", "selection"),
    ("parent_id", "many2one res.partner"),
    ("commercial_partner_id", "many2one res.partner"),
    ("active", "boolean"),
    ("child_ids", "one2many res.partner"),
    ("category_id", "many2many res.partner.category"),
    ("company_id", "many2one res.company"),
    ("customer_rank", "integer"),
    ("supplier_rank", "integer"),
    ("credit_limit", "float"),
    ("comment", "html"),
    ("image_128", "binary"),
    ("lang", "selection"),
    ("tz", "selection"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const PRODUCT: &[Field] = &[
    ("name", "char"),
    ("display_name", "char"),
    ("default_code", "char"),
    ("list_price", "float"),
    ("standard_price", "float"),
    ("type", "selection"),
    ("categ_id", "many2one product.category"),
    ("uom_id", "many2one uom.uom"),
    ("barcode", "char"),
    ("active", "boolean"),
    ("product_tmpl_id", "many2one product.template"),
    ("taxes_id", "many2many account.tax"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const CURRENCY: &[Field] = &[
    ("name", "char"),
    ("symbol", "char"),
    ("rounding", "float"),
    ("decimal_places", "integer"),
    ("active", "boolean"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const TAX: &[Field] = &[
    ("name", "char"),
    ("amount", "float"),
    ("amount_type", "selection"),
    ("type_tax_use", "selection"),
    ("active", "boolean"),
    ("sequence", "integer"),
    ("company_id", "many2one res.company"),
    ("country_id", "many2one res.country"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];

const GROUP: &[Field] = &[("name", "char"), ("full_name", "char")];

const ACCESS: &[Field] = &[("name", "char")];

const API_KEY: &[Field] = &[
    ("name", "char"),
    ("user_id", "many2one res.users"),
    ("scope", "char"),
    ("create_date", "datetime"),
    ("expiration_date", "datetime"),
];

const USER: &[Field] = &[
    ("name", "char"),
    ("display_name", "char"),
    ("login", "char"),
    ("password", "char"),
    ("lang", "selection"),
    ("tz", "selection"),
    ("active", "boolean"),
    ("company_id", "many2one res.company"),
    ("company_ids", "many2many res.company"),
    ("share", "boolean"),
    ("groups_id", "many2many res.groups"),
    ("group_ids", "many2many res.groups"),
    ("all_group_ids", "many2many res.groups"),
    ("api_key_ids", "one2many res.users.apikeys"),
    ("login_date", "datetime"),
    ("create_date", "datetime"),
    ("write_date", "datetime"),
];
