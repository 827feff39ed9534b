"""Signs that a change touches what others rely on: stored data, old callers, unfinished work."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.review import signs
from dispatch_mcp.review.signs import Sign, sign

_DDL = (
    r"alter\s+table|drop\s+(?:table|column|constraint|view|type|schema|database|function|not\s+null)"
    r"|rename\s+(?:table|column|to)|add\s+column|alter\s+column|modify\s+column|change\s+column|"
    r"set\s+not\s+null|truncate\s+table|update\s+\w+\s+set\b.*;"
)
LEGACY: Final[tuple[Sign, ...]] = (
    sign(
        "schema-changed",
        "legacy",
        9,
        "stored data changes its shape",
        "alter drop rename drop_column add_column alter_column drop_table rename_column rename_table removefield"
        " addfield "
        "alterfield renamefield renamemodel deletemodel remove_column change_column change_column_null"
        " removecolumn dropcolumn "
        "droptable renamecolumn addcolumn changecolumn dropifexists runpython runsql truncate migrationbuilder"
        " migration altertable "
        "altercolumn deletefield not add_field create_model modify change batch_alter_table change_table"
        " knex remove_reference add_reference backfill ddl constraint nullable primary foreign unique"
        " cascade dropcolumn enum setnull",
        regex=r"drop\s+(?:index|sequence|trigger|primary|foreign|default)|alter\s+(?:type|index|sequence|domain"
        r"|view)|nullable\s*[=:(]\s*(?:false|true)|add\s+constraint|on\s+delete\s+cascade|changecolumn"
        rf"|dropcolumn|null:\s*false|null=(?:false|true)|{_DDL}|op\.(?:drop|add|alter|rename|execute|batch)\w*\("
        r"|migrations\.(?:remove|alter|rename|add"
        r"|delete|run|separate)\w*\(|(?:remove|change|rename|add)_(?:column|reference|index|timestamps"
        r"|belongs_to)\w*\b|drop_table|"
        r"(?:drop|rename|add|change|remove|alter)(?:column|table|field|foreignkey|index|constraint)\w*\("
        r"|dropifexists\(|change_table|alter_table|\$unset|\$rename|batch_alter_table|\.altertable\(|unsafe_execut"
        r"e|createcollection",
        places=signs.ALL,
    ),
    sign(
        "field-gone",
        "legacy",
        8,
        "a stored or published field, or a setting, goes or changes",
        "field column charfield integerfield foreignkey booleanfield textfield json protobuf reserved"
        " optional required env "
        "getenv environ add_argument option flag parameter string int32 int64 bool enum public schema"
        " property datefield "
        "jsonproperty decimalfield mapped_column varchar serializedname datetimefield route get post path"
        " url deprecated os required: uint32 repeated config getproperty env_var viper settings key endpoint"
        " api response payload dto column attr_accessor attribute exports option",
        regex=r"\benv\[|environ\.get|getproperty\(|viper\.get|\bconfig\.(?:get|fetch)\(|attr_(?:accessor|reader)"
        r"|module\.exports|^\s*exports\.|__all__|@param|\bdefault\s*=|=\s*(?:models|db|sa|fields|serializers)\."
        r"(?:\w*field|column|foreignkey|relationship)\b|mapped_column\("
        r"|\bcolumn\(|@column|@jsonproperty|json:\"|^\s*(?:optional |repeated |required )?"
        r"(?:string|int32|int64|bool|bytes|double|float|uint32|uint64|[a-z]\w+(?:\.\w+)*)\s+\w+\s*=\s*\d+\s*;"
        r"|process\.env\.|os\.(?:getenv|environ)|add_argument\(|\.option\(|flag\.\w+\(|"
        r"@(?:\w+\.)?(?:route|get|post|put|delete|patch)\(|(?:app|router)\.(?:get|post|put|delete|patch)\(\s*[\"']"
        r"|@(?:get|post|put|delete|request)mapping|click\.option|^\s*/[\w/{}-]+:\s*$|serializedname|env\(\s*[\"']",
        side="removed",
        places=signs.ALL,
    ),
    sign(
        "deprecation",
        "legacy",
        8,
        "something is marked as deprecated or kept for old callers",
        "deprecated deprecate deprecation deprecationwarning obsolete pendingdeprecationwarning compat"
        " compatibility shim "
        "polyfill legacy backward backwards backcompat fallback old sunset unsupported removed since superseded"
        " discontinued eol previously former",
        regex=r"superseded|discontinued|end[- ]of[- ]life|\beol\b|\bformerly\b|deprecat\w*|\bobsolete\b|back"
        r"(?:ward)?s?[ _-]?compat\w*|\bcompat(?:ibility)?\b|\bshims?\b|polyfill"
        r"|legacy\w*|\bsunset\b|(?:_|\b)old(?:_|\b)\w*\(|\bwill be removed\b|\bno longer supported\b",
        places=signs.RUNS,
        unless=r"old_(?:start|value|state|line)",
    ),
    sign(
        "outdated-call",
        "legacy",
        7,
        "a call that is outdated is used",
        "utcnow utcfromtimestamp substr componentwillmount componentwillreceiveprops componentwillupdate"
        " buffer ioutil imp distutils "
        "pkg_resources get_event_loop findomnode finddomnode render mysql_query iteritems xrange unicode"
        " six has_key getyear "
        "execcommand asyncio optparse assertequals keycode url date integer vector hashtable stringbuffer"
        " auto_ptr register "
        "np collections mutablemapping fibers escape unescape jquery var with_metaclass future urllib2 basestring "
        "ontransitionend attr_accessible before_filter find_by_ create_function each mcrypt ereg simpledateformat"
        " calendar "
        "reactdom string_types izip raw_input itervalues before_first_request webkit append querypy nose",
        regex=r"utcnow\(\)|utcfromtimestamp|\.substr\(|componentwill(?:mount|receiveprops|update)|new buffer\("
        r"|ioutil\.|^import imp\b|distutils|pkg_resources|get_event_loop\(\)|finddomnode|reactdom\.render\("
        r"|mysql_(?:query|connect)|"
        r"\.iteritems\(|\bxrange\(|\bunicode\(|\bsix\.|\.has_key\(|\.getyear\(|execcommand\(|optparse|assertequals"
        r"\(|\.keycode\b|url\.parse\(|new (?:integer|date|vector|hashtable|stringbuffer)\(|auto_ptr|\bnp\."
        r"(?:float|int|bool|object)\b(?!\d|_)|"
        r"from collections import (?:mapping|mutablemapping|iterable|callable)|(?<!\.)\b(?:un)?escape\("
        r"|basestring|urllib2|before_filter|find_by_\w+\(|create_function\(|mcrypt|\bereg|simpledateformat"
        r"|print\s+[\"']|raw_input|before_first_request|\.append\(.*ignore_index|"
        r"thread\.stop\(|\$\.(?:ajax|getjson)|\.live\(|random_shuffle|std::bind1st|@asyncio\.coroutine"
        r"|yield from|logger\.warn\(|nose\.tools|javax\.|reactdom\.hydrate|string_types",
        places=signs.ALL,
    ),
    sign(
        "unfinished",
        "legacy",
        6,
        "work is left unfinished, switched off or silenced",
        "todo fixme xxx hack workaround temporary temp noqa nolint eslint-disable ts-ignore nosonar suppresswarni"
        "ngs pylint "
        "disable type rubocop phpcs kludge remove quick ts-nocheck feature_flag ts-expect-error enabled"
        " later for now until flag if "
        "pragma warning notimplemented unimplemented stub placeholder dead unused deadcode unreachable"
        " coming soon catch pass",
        regex=r"notimplemented\w*|unimplemented!|todo!\(|\bunused\b|dead code|unreachable|catch\s*\([^)]*\)\s*\{\s*\}"
        r"|except(?: \w+)?:\s*pass|rescue\s*(?:=>\s*\w+)?\s*;?\s*nil|\bplaceholder\b|\b(?:todo|fixme|xxx"
        r"|hack|kludge)\b|work-?around|\btemporar(?:y|ily)\b|#\s*noqa|nolint|eslint-disable"
        r"|@?ts-(?:ignore|nocheck|expect-error)|nosonar|@suppresswarnings|pylint:\s*disable|type:\s*ignore"
        r"|rubocop:disable|"
        r"phpcs:ignore|#if 0|if \(?(?:false|0)\)?\s*[:{]|feature_?flag|\bfor now\b|pragma warning disable"
        r"|clippy::|remove (?:this )?(?:after|once|when|later)|@ts-nocheck|not used any ?more",
        places=signs.RUNS,
    ),
    sign(
        "versions-side-by-side",
        "legacy",
        6,
        "an old and a new way stand side by side",
        "v1 v2 v3 new_ old_ _new _old legacy newapi uselegacy use_new usenew use_v2 rewritten version2"
        " v2_enabled is_legacy new_flow",
        regex=r"\b(?:use|enable|is)_?(?:new|legacy|old|v2)\w*|\w+_v[12]\b|\w+V[12]\b|/v[12]/|\b\w+_(?:new|old)\b"
        r"|\b(?:new|old)_\w+\(|\w+2\(",
        places=signs.CODE,
    ),
)
