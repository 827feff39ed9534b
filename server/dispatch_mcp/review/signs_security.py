"""Signs that a change touches what attackers use."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.review import signs
from dispatch_mcp.review.signs import Sign, sign

_SQL = (
    r"(?:select\b.{1,300}?\bfrom|insert\s+into|replace\s+into|update\s+[\w.\"`\[\]]+\s+set|delete\s+from"
    r"|\bwhere\s+[\w.\"`]+"
    r"\s*(?:=|<|>|in\b|like\b)|order\s+by|group\s+by|union\s+select|create\s+(?:user|role|database)|drop\s+table|"
    r"alter\s+table|truncate\s+table|exec\s+\w+|\blimit\s+)"
)
_MIXED = (
    r"(?:\$\{|#\{|\{\$|[\"'`]\s*\+\s*\w|\w\s*\+\s*[\"'`]|[\"']\s*%\s*[\w(]|%[sdv][\"'`]?\s*(?:,|%|\))"
    r"|\.format\(|sprintf|"
    r"[\"']\s*\.\s*\$|\$\w+\s*\.\s*[\"']|\"[^\"]*\$\w|\bf[\"']|\bf\"\"\"|\{[a-z_][\w.\[\]'\"]*\}|\\\("
    r"|format!|\$\"|<<~?[A-Z]|"
    r"\|\||concat\(|&\s*\w+\s*&)"
)
_PLACED = r"(?:\$\{|#\{|\{[a-z_][\w.\[\]'\"()]*\}|[\"']\s*\+|\+\s*[\"']|\"\s*%\s*\(|\.format\()"
_CALLER = (
    r"(?:\brequest\b|\breq\b|\bparams\b|\bctx\.|\bquery\b|\bargv?\b|\binput\b|\bbody\b|\bpayload\b"
    r"|\bform\b|\buser_?input\b|"
    r"\$_(?:get|post|request|cookie|files|server)|\bfile_?name\b|\bupload\w*|\bname\b|\bpath\b|\burl\b"
    r"|\buri\b|\bhost\b|"
    r"\br\.(?:url|form|header|postform)|getparameter|\bevent\b|querystring|formvalue|\bkey\b|\bnext\b"
    r"|\bid\b|return_?(?:to|url))"
)
_SENSITIVE = (  # a pattern of names
    r"(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|api_?key|apikey|access_?key|private_?key|client_?secret|"
    r"auth_?key|encryption_?key|signing_?key|credential|connection_?string|conn_?str|dsn|jwt_?key|master_?key|webhook)"
)

SECURITY: Final[tuple[Sign, ...]] = (
    sign(
        "sql-from-text",
        "security",
        9,
        "a query is built from text",
        "select insert update delete where from order union exec execute query raw drop alter limit table",
        regex=rf"[\"'`].*{_SQL}.*{_MIXED}|{_MIXED}.*[\"'`].*{_SQL}|{_SQL}.*{_PLACED}",
        unless=r"^\s*(?://|#|\*|import\b|from\b|--|print|logger|log\.)|\braise\b|\bconsole\.",
        places=signs.CODE,
    ),
    sign(
        "raw-query",
        "security",
        7,
        "a query goes round the layer that binds values",
        "raw extra rawquery queryrawunsafe executerawunsafe executesqlraw fromsqlraw rawsql literal find_by_sql text "
        "createnativequery executequery execute createstatement unprepared exec query where whereraw orderbyraw"
        " havingraw",
        regex=r"(?:\.raw\(|\brawsql\(|rawunsafe|sqlraw\(|find_by_sql|createnativequery\([^)]*\+|\.extra\(\s*"
        r"(?:where|select)|"
        r"createstatement\(|\b(?:where|order|orderby|having)raw\(|sequelize\.literal|\b(?:execute|query"
        r"|exec|queryrow)\(\s*"
        r"(?:[\"'`].*(?:\+|%|\$\{|#\{|\.format)|f[\"']|\w+\s*\+|fmt\.sprintf|string\.format|`[^`]*\$\{)|"
        r"\.where\(\s*[\"'].*(?:#\{|\+|\$\{))",
    ),
    sign(
        "nosql-operator",
        "security",
        7,
        "a query document comes from the caller",
        "find findone where aggregate mapreduce updateone deleteone deletemany filter ldap search_s xpath",
        regex=r"\$where|find(?:one)?\(\s*(?:req|request|params|json|body)\b|\bfilter\s*=\s*[\"']\(.*(?:\+|%|\{)"
        r"|xpath\([^)]*\+|"
        r"search_s\(.*(?:%|\+|f[\"'])",
    ),
    sign(
        "shell-command",
        "security",
        8,
        "a command line is built or a shell is started",
        "system popen shell exec execsync spawn spawnsync passthru shell_exec proc_open getruntime command subprocess "
        "processbuilder startprocess execfile run call check_output check_call open3 backtick iex process",
        regex=r"os\.system\(|os\.popen|shell\s*[=:]\s*true|child_process|\bexec(?:sync|file)?\(\s*[`\"'].*(?:\$\{|\+)|"
        r"\bexec(?:sync)?\(\s*(?:cmd|command|`)|shell_exec\(|passthru\(|proc_open\(|(?<![\w.>])system\(|\bpopen\(|"
        r"getruntime\(\)\.exec|exec\.command(?:context)?\([^)]*[\"'](?:/bin/)?(?:sh|bash|cmd)[\"']|processbuilder"
        r"\(.*(?:sh|cmd)|"
        r"\%x[\(\{]|command::new\([\"'](?:sh|bash)|invoke-expression|\biex\b|process\.start\(.*(?:\+|\$)|"
        r"subprocess\.\w+\(\s*(?:f[\"']|[\"'].*(?:%|\+|\.format))|open3\.\w+\(.*#\{|io\.popen|kernel\.open",
        places=signs.RUNS,
        unless=r"^\s*(?://|#|\*)",
    ),
    sign(
        "code-from-data",
        "security",
        8,
        "data is run as code or turned into objects",
        "eval exec function pickle loads load unserialize objectinputstream readobject marshal yaml unsafe_load vm "
        "binaryformatter constantize instance_eval class_eval public_send send settimeout jsonpickle dill"
        " shelve joblib "
        "typenamehandling xmldecoder fromxml xstream compile deserialize activator script define_method"
        " load_string loadmodule",
        regex=r"(?<![\w.$])eval\(|(?<![\w.>:$])exec\(\s*\w|new function\(|pickle\.loads?\(|cpickle|unserialize\(|"
        r"objectinputstream|\.readobject\(|marshal\.loads?\(|yaml\.(?:load|unsafe_load|load_all)\((?!.*safe)|vm\.runin|"
        r"binaryformatter|\.constantize|instance_eval|class_eval|public_send\(\s*params|\.send\(\s*params"
        r"|jsonpickle\.decode|"
        r"dill\.loads?|shelve\.open|joblib\.load|typenamehandling\.(?:all|auto|objects)|xmldecoder|xstream"
        r"|torch\.load\(|"
        r"unsafe_load|allow_pickle\s*=\s*true|losformatter|netdatacontractserializer|setTimeout\(\s*[\"'`]",
        unless=r"\.exec\(|safe_?load|^\s*(?://|#|\*)|literal_eval|model\.eval\(|weights_only=True",
    ),
    sign(
        "unescaped-output",
        "security",
        8,
        "output goes into a page without escaping",
        "innerhtml outerhtml dangerouslysetinnerhtml html insertadjacenthtml write safe mark_safe raw html_safe markup "
        "render_template_string bypasssecuritytrusthtml template htmlstring autoescape writeln echo send jsx triple "
        "document v-html res append prepend print response fprintf fprint sprintf template",
        regex=r"[\"']text/template|\.(?:inner|outer)html\s*\+?=(?!\s*[\"'`]{2})|dangerouslysetinnerhtml|v-html"
        r"|insertadjacenthtml|"
        r"document\.write(?:ln)?\(|\|\s*safe\b|mark_safe\(|\.html_safe|html\.raw\(|<%==|\braw\(\s*@|\{!!|markup\(|"
        r"render_template_string\(|bypasssecuritytrust|template\.(?:html|js|url)\(|autoescape\s*(?:=\s*)?(?:false|off)|"
        r"\{\{\{|\.html\(\s*[\w$]|echo\s+\$_(?:get|post|request)|echo\s+[\"'].*\$_|<%-|res\.(?:send|write"
        r"|end)\(.*(?:\+|\$\{)|"
        r"\bfprintf?\(w,.*<|new markupstring|htmlresponse\(.*(?:f[\"']|\+|%)|httpresponse\(.*(?:f[\"']|\+|%|format)|"
        r"\.append\(\s*[`\"']<.*(?:\$\{|\+)|return\s+f?[\"'`]<(?:html|div|p|h\d|li|td|span|a)\b.*(?:\{|\+|%)",
        places=signs.RUNS,
    ),
    sign(
        "secret-in-code",
        "security",
        9,
        "a value that looks like a secret stands in the change",
        "password passwd pwd secret token key api_key apikey passphrase credential credentials webhook"
        " dsn connectionstring "
        "access_key private begin akia sk_live ghp_ xoxb jdbc mongodb postgres postgresql mysql redis"
        " amqp redacted auth "
        "authorization bearer client_secret secret_key accesskey privatekey jwt_secret db_password aiza"
        " apisecret privatekey accesskeyid secretaccesskey passphrase encryption signing admin root sshkey"
        " pem license_key salt authtoken client sql password123",
        regex=r"(?:key|secret|token|passw\w*|pwd)\w*[\"']\]\s*=\s*[\"'][^\"']{6,}[\"']|(?:key|secret|token|passw\w*"
        r"|pwd|credential\w*)\w*[\"']?\s*(?:=|:|=>|:=)\s*[\"'][A-Za-z0-9+/=_.!@#%&*-]"
        rf"{(8,)}[\"']|\b[\w.-]*{_SENSITIVE}[\w.-]*[\"']?\s*(?::=|=>|[:=]|,)\s*(?:[rbuf]?[\"'`])(?=[^\"'`]*[^\s\"'`])"
        r"[^\"'`\s"
        r"$<{]{6,}[\"'`]|"
        r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bsk_live_|\bgh[pousr]_\w{30}|xox[abp]-"
        r"|\bAIza[\w-]{30}|"
        r"\[redacted:|\b[a-z][a-z0-9+]{2,20}://[^\s:/@\"']+:[^\s@/\"'${<]{3,}@|bearer [\w.~+/-]{20,}|"
        rf"^\s*(?:export |ENV |ARG |- )?[\w.-]*{_SENSITIVE}\w*\s*[=:]\s*[^\s\"'$<{{(\[]{{8,}}\s*$",
        places=signs.ALL,
        unless=r"(?:getenv|environ|process\.env|os\.Getenv|=\s*\S*config\[|settings\.|vault|secretmanager|placeholder|"
        r"example\.(?:com|invalid)|changeme|your[_-]|<[a-z_-]+>|\bx{4,}|\*{4,}|\$\{|secrets\.|valueFrom"
        r"|type=[\"']password|"
        r"name=[\"']|label|autocomplete|field\(|input|errors?\.|message|i18n|\bt\()",
    ),
    sign(
        "weak-crypto",
        "security",
        7,
        "a weak or hand-made way of hashing, encrypting or drawing secrets",
        "md5 sha1 des rc4 ecb blowfish randombytes random rand mt_rand uniqid crc32 3des tripledes createcipher pbkdf2 "
        "md4 messagedigest hashlib createhash cipher getinstance password_hash iterations rounds bcrypt nonce iv salt "
        "math_random srand randint choice sha256 xor encrypt random securerandom threadlocalrandom crypto"
        " nextlong nextint drand48 mersenne twister",
        regex=r"new random\(\)|random\.next(?:long|int)|secrets? ?= ?\[?random|drand48|\brand\(\)\s*%"
        r"|cipher\.getinstanc"
        r"e\([\"'](?:aes|des)[\"'/]?(?:ecb)?[\"']|aes/ecb|modes\.ecb|createhash\([\"'](?:md5|sha1)|\bmd[45]\b"
        r"|\bsha-?1\b|\brc4\b|\becb\b|\b(?:3|triple)?des(?:3|ede)?\b(?=.*(?:cipher|encrypt|new"
        r"|getinstance))|"
        r"createcipher\(|(?:token|secret|password|otp|code|session|salt|nonce|key|csrf|reset)\w*\s*(?::=|=|:).*"
        r"(?:math\.random|\brandom\.|\brand\(|mt_rand|uniqid|\brand\.int|new random\()|math\.random\(\).*tostring\(36|"
        r"\biv\s*=\s*(?:b?[\"']|bytes\(|new byte\[)|iterations?\s*[=:]\s*\d{1,4}\b|rounds\s*[=:]\s*[1-8]\b|"
        r"sha(?:256|512)\(.*passw|passw\w*.*sha(?:256|512)|bcrypt\.\w+\(.*,\s*[1-7]\)|random\.choice\(.*"
        r"(?:letters|digits)",
        places=signs.RUNS,
        unless=r"usedforsecurity=False|etag|checksum|cache_?key|gravatar|^\s*(?://|#|\*)",
    ),
    sign(
        "tls-unchecked",
        "security",
        9,
        "certificates or signatures are no longer checked",
        "verify insecureskipverify rejectunauthorized curlopt_ssl_verifypeer ssl_verify danger_accept_invalid_certs "
        "_create_unverified_context check_hostname node_tls_reject_unauthorized verify_none cert_none insecure "
        "servercertificatecustomvalidationcallback servercertificatevalidationcallback trustall hostnameverifier k "
        "verify_ssl sslverify allow_insecure usecleartexttraffic verify_signature ignoreexpiration algorithms none "
        "signatureverification decode verifyssl parseunverified requiressl validateissuer validatelifetime"
        " sslmode disable "
        "unsafeallnone alg unsecured parseunsecuredclaims skipverify skip_verify noverify withoutverification"
        " setverify unverified allow_unverified acceptanycertificate allowinvalidcertificates disable_ssl"
        " none decode_token",
        regex=r"unsecured|skip_?verif|no_?verif|without_?verif|unverified|acceptany|allowinvalid|disable_?(?:ssl"
        r"|tls|cert)|verify_?(?:peer|host|mode)?\s*[=:]>?\s*(?:false|0|none|openssl::ssl::verify_none)"
        r"|\[.none.\]|verify(?:_ssl|ssl|_certs?)?\s*[=:]\s*(?:false|0|none)|insecureskipverify\s*[:=]\s*true"
        r"|rejectunauthorize"
        r"d\s*[:=]\s*"
        r"(?:false|0)|verifypeer\W+(?:false|0)|ssl_verify\w*\s*[=:]\s*(?:false|0|none|no|off)|danger_accept_invali"
        r"d|_create_unverified_context|"
        r"check_hostname\s*=\s*false|tls_reject_unauthorized|verify_none|cert_none|certificate\w*validationcallbac"
        r"k|trustall|"
        r"noophostnameverifier|allowallhostname|curl\s+.*(?:-k\b|--insecure)|\bsslverify\s*[=:]?\s*false"
        r"|usecleartexttraffic=\"true|"
        r"verify_signature[\"']?\s*[=:]\s*false|ignoreexpiration\s*:\s*true|algorithms?[\"']?\s*[=:]\s*\[?[\"']none|"
        r"jwt\.decode\([^)]*(?:verify\s*=\s*false|options)|jwt_?decode\(|parseunverified|validate(?:issuer"
        r"|audience|lifetime|"
        r"issuersigningkey)\s*=\s*false|sslmode=disable|jwt\.decode\(\s*token\s*\)|alg\w*\s*===?\s*[\"']none"
        r"|unsafeallownonesignaturetype",
        places=signs.ALL,
    ),
    sign(
        "path-from-caller",
        "security",
        7,
        "a path or archive comes from the caller",
        "open join sendfile readfile readfilesync readalltext file path extractall extract unzip createreadstream "
        "send_file include require filename fopen file_get_contents fileinputstream resolve writefile unlink rmtree "
        "paths readfile servefile downloads download combine create originalname transferto move_uploaded_file"
        " zipentry tar params send_data attachment downloadfile safe_join open_file resource $_files getclientori"
        "ginalname original_filename",
        regex=r"\$_files\[.*\]\[[\"']name|getclientoriginalname|original_?(?:file)?name\b|send_file\s+.*(?:params"
        r"|request)|(?:open|read\w*|load|join|path)\w*\(.*(?:request|req|params"
        r"|args|query)\b|\.\.[\\/]|(?:(?<!\w)open\(|path\.join\(|os\.path\.join\(|sendfile\(|readfile(?:sync)?\("
        r"|readalltext\(|new"
        r" file\(|"
        rf"createreadstream\(|send_file\(|(?:include|require)(?:_once)?\s*\(?\s*[^;]*\$_|fopen\(|file_get_contents\(|"
        r"fileinputstream\(|filepath\.join\(|path\.combine\(|paths\.get\(|servefile\(|unlink\w*\(|rmtree\("
        r"|file\.read\(|os\.(?:open|"
        r"readfile|create|remove)\(|writefile\w*\(|file\.(?:open|create)\(|path::new|\.joinpath\(|\.resolve\().*"
        rf"{_CALLER}|extractall\(|"
        r"\.originalname|getoriginalfilename|move_uploaded_file|zipentry\.getname|entry\.getname\(|header\.name\b"
        r"|\.\./|"
        r"[\"'](?:/\w+)+/?[\"']\s*\+\s*\w*(?:name|path|file)",
        unless=r"__file__|__dirname|^\s*(?:import|from|#|//|require\()|basename\(|secure_filename|import\.meta",
    ),
    sign(
        "address-from-caller",
        "security",
        7,
        "an address to call or redirect to comes from the caller",
        "requests get post urlopen fetch axios redirect redirect_to sendredirect http httpclient location"
        " urllib curl_init "
        "redirectresponse got webclient resttemplate uri httpx geturl url curl_exec uri_open open newrequest"
        " callback webhook endpoint image_url avatar_url fetchurl follow_redirects href link openstream"
        " uri",
        regex=r"(?:get|post|fetch|request|open|download|urlopen|openstream)\w*\(\s*\w*\.?(?:body|data|input|payload"
        r"|form|args|params|query|request)\w*\.\w*(?:url|uri|link|href|address|callback|webhook)|new url\(\s*\w*"
        r"(?:url|input|target)|(?:requests|httpx|session|client)\.(?:get|post|put|request|head)\(\s*(?:f[\"']"
        r"|url\b|target|endpoint"
        r"|webhook|callback|\w*url\b|"
        r"request\.|data\[|body|params|payload|link|uri|address)|urlopen\(\s*(?![\"'])|(?:fetch|axios(?:\.\w+)?"
        r"|got)\(\s*(?:req|url|body|params|"
        r"ctx|query|`\$\{)|http\.(?:get|post|newrequest)\(.*(?:\burl\b|r\.|req\.|param|target|query)|redirect"
        r"(?:_to|response)?\(\s*"
        r"(?:request|req|params|next|url|return|target|res|c\.|dest|\w*url\b|\$_)|sendredirect\(\s*(?![\"'])"
        r"|header\(\s*[\"']location:.*\$|"
        r"(?:res|response|c|ctx)\.redirect\([^)]*(?:req|query|url|next|return|param)|http\.redirect\(.*"
        r"(?:r\.|url|next)|curl_init\(\s*\$|"
        r"webclient|resttemplate.*\+|open-uri|location\.(?:href|replace)\W+.*(?:param|query|search|hash)"
        r"|new uri\(.*(?:request|param|url)",
    ),
    sign(
        "check-removed",
        "security",
        8,
        "a check of identity, right or input is taken away",
        "login_required permission_required authorize authenticate authenticated isauthenticated requireauth"
        " require_auth "
        "permission permissions csrf verify validate sanitize escape preauthorize secured rolesallowed before_action "
        "authorized hasrole has_perm checkpermission can auth requirelogin ensureauthenticated ratelimit"
        " rate_limit throttle "
        "current_user is_admin isadmin admin allowed protect guard middleware authentication authorization"
        " limiter policy "
        "owner user_id role roles requirerole useguards bleach dompurify htmlspecialchars escapehtml get_object_or_404 "
        "validator schema token signature hmac compare_digest securerandom require requires login_url"
        " current limits validators clean strip_tags allowlist whitelist sanitize_html sanitizer nonce"
        " ownership isowner canaccess cancan pundit policy_scope authorise validateinput httponly escapehtml"
        " htmlspecialchars quote parameterized preparedstatement setstring safe_load bindparam",
        regex=r"securerandom|preparestatement|setstring\(|safe_load|secure_filename|basename\(|html\.escape|\bquote\("
        r"|bindparam|policy_scope|\bauthorise\w*|ownerid|owner_id|current_?user|requireadmin|require[a-z]\w*\("
        r"|allow_?list|white_?list|strip_tags|httponly|samesite|\bvalidators?\b|runasnonroot|readonlyrootfilesyste"
        r"m|private|max_?(?:size|len\w*)\b|@\w*(?:login|auth|permission|secured|preauthorize|roles?allowed"
        r"|useguards|requires?|csrf|throttle"
        r"|limit)\w*|"
        r"(?:require|ensure|check|verify|validate|assert|is|has|must|can|enforce)_?\w*(?:auth|login|perm"
        r"|role|admin|access|csrf|owner|signature|"
        r"token|user|rights?|policy|session|scope|tenant)\w*|\bbefore_action\b|\bauthorize!?|htmlspecialchars"
        r"|sanitize\w*|escape(?:html)?\(|"
        r"dompurify|bleach|rate_?limit|csrf|compare_digest|timingsafeequal|if\b.*(?:owner|user_?id|current_?user"
        r"|\brole\b|is_?admin|"
        r"isauthenticated|permission|authorized|allowed)|permission_classes|authentication_classes|middleware\(\[?"
        r"[\"']auth|"
        r"[\s,(](?:auth|requireauth|authenticate|protect|authmiddleware|isadmin)\w*\s*[,)]|\.validate\("
        r"|max_length|maxlength|content_length",
        side="removed",
        places=signs.RUNS,
    ),
    sign(
        "check-opened",
        "security",
        8,
        "a route or rule is opened to everybody",
        "allowanonymous permitall csrf_exempt skip_before_action allowany disable public anonymous exempt all "
        "authentication_classes permission_classes csrf skip_authorization withoutmiddleware allow_any everyone "
        "principal publiclyaccessible noauth anyrequest skip_forgery_protection verify_authenticity_token is_public "
        "auth_required require_auth authrequired requires_auth",
        regex=r"allowanonymous|permitall\(|csrf_exempt|skip_before_action|\ballowany\b|csrf\(\)?\.?disable|csrf\w*\.disa"
        r"ble|"
        r"(?:authentication|permission)_classes\s*=\s*(?:\[\s*\]|\(\s*\))|withoutmiddleware|\"?principal\"?\s*[:=]"
        r"\s*[\"']\*|"
        r"publiclyaccessible[\"']?\s*[:=]\s*true|protect_from_forgery\s+.*null|anyrequest\(\)\.permit|skip_forgery|"
        r"(?:auth_?required|require_?auth|requires_auth|authenticate|csrf\w*)[\"']?\s*[:=]\s*(?:false|off"
        r"|no|none)\b|@public\b|@anonymous",
        places=signs.RUNS,
    ),
    sign(
        "open-settings",
        "security",
        7,
        "a setting lets more in: origins, modes, addresses, debugging",
        "debug allow_origins origin cors access-control-allow-origin allowed_hosts chmod 0777 777 privileged"
        " acl cidr_blocks "
        "0 httponly secure samesite set_cookie cookie public-read hostnetwork allowprivilegeescalation root run "
        "securitycontext allow runasuser host bind x-frame-options helmet action resource effect actions"
        " cidr capabilities "
        "allow_credentials credentials cors_allowed_origins cors_origin_allow_all public_access permissions http_only "
        "docker sock ingress source_ranges security_opt publicly_accessible write-all session_cookie_secure "
        "secure_ssl_redirect allowedorigins access control public acl privileged wildcard allowall everyone"
        " disable_csrf anonymousauth enable_debug expose stacktrace all_users read_write debug",
        regex=r"debug[\"']?\]?\s*[=:]\s*true|\*\.\*|allow_all|\bexpose_php\s*=\s*on|\bdisplay_errors\s*=\s*on"
        r"|publicread|alluser|anonymous-auth=true"
        r"|\bdebug\s*[=:]\s*true|allow_?origins?[\"']?\s*[=:]\s*\[?\s*[\"']\*|access-control-allow-origin[\"'\s:,]"
        r"+"
        r"\*|"
        r"origin\s*:\s*(?:[\"']\*|true)|allowed_hosts\s*=\s*\[\s*[\"']\*|chmod\s+(?:-r\s+)?(?:0?777|a\+rwx"
        r"|666)|0o?777\b|privileged\s*:\s*true|"
        r"public-read|cidr\w*\W+.{0,4}0\.0\.0\.0/0|0\.0\.0\.0/0|http_?only[\"']?\s*[=:]\s*(?:false|0)|\bsecure[\"'"
        r"]?\s*[=:]\s*false|"
        r"samesite[\"']?\s*[=:]\s*[\"']?none|hostnetwork\s*:\s*true|allowprivilegeescalation\s*:\s*true"
        r"|runasuser\s*:\s*0\b|docker\.sock|"
        r"\"?actions?\"?\s*[:=]\s*\[?\s*\"(?:\w+:)?\*\"|\"?resource\"?\s*[:=]\s*\[?\s*\"\*\"|cors\(\s*\)"
        r"|cors_origin_allow_all\s*=\s*true|"
        r"user\s+root\b|bind\(.*0\.0\.0\.0|host\s*=\s*[\"']0\.0\.0\.0|permissions:\s*write-all|app\.run\(.*debug|"
        r"(?:session_cookie_secure|secure_ssl_redirect|csrf_cookie_secure)\s*=\s*false|setallowedorigins\(.*\*"
        r"|allowanyorigin|allow_any_origin",
        places=signs.ALL,
    ),
    sign(
        "mass-assignment",
        "security",
        7,
        "fields of a record come from the caller unchecked",
        "assign update create body permit update_attributes data fields __all__ setattr new fill mergedeep"
        " merge insert save "
        "requestbody bind json populate extend defaultsdeep kwargs from_dict shouldbindjson values spread"
        " updatebyid findbyidandupdate",
        regex=r"object\.assign\([^)]*(?:req|body|input|payload)|\.(?:update|create|insert|findbyidandupdate|findoneandup"
        r"date|save|build)\w*\([^)]*"
        r"(?:\.\.\.)?(?:req|request|ctx\.request|event)\.(?:body|json|query|data|all)|params\.permit!|update_attri"
        r"butes\(\s*params|"
        r"\*\*(?:request|data|payload|body|kwargs\[)|fields\s*=\s*[\"']__all__|\bsetattr\(\s*\w+\s*,\s*"
        r"(?:key|name|field|k|attr)|"
        r"request->all\(\)|(?:merge|extend|defaultsdeep)\w*\([^)]*(?:req|body|input|payload|json\.parse)"
        r"|new \w+\(\s*(?:req\.body|params)|"
        r"\{\s*\.\.\.req\.body|tryupdatemodel|\$guarded\s*=\s*\[\s*\]|__proto__|\[(?:key|path\w*|prop|k)\]\s*=\s*\w+\[",
    ),
    sign(
        "record-of-others",
        "security",
        6,
        "a record is looked up by an id of the caller, without an owner in the line",
        "get_object_or_404 findbyid findbypk find get objects findunique findone find_by first where findbyidanddelete "
        "querybyid getbyid deletebyid destroy get_or_404 getone delete update",
        regex=r"(?:get_object_or_404|findbyid\w*|findbypk|findunique|findone\w*|get_or_404|getbyid|deletebyid"
        r"|objects\.get|query\.get|"
        r"session\.get|\.find|\.destroy|deleteone|repository\.\w+)\(.*(?:req(?:uest)?\.(?:params|query"
        r"|body|args|get|json)|params\[|params\.|"
        r"\bpk\b|\w+_id\b|ctx\.params|pathvariable|\bid\b|r\.url|\$_get|payload\[)",
        unless=r"owner|current_?user|request\.user\b|user\s*=|tenant|account\s*=|req\.user|userid\s*:|session\.user"
        r"|author\s*=",
    ),
    sign(
        "identity-from-caller",
        "security",
        7,
        "who somebody is, or what it costs, comes from the caller",
        "user_id userid user account_id accountid owner owner_id tenant tenant_id customer_id role is_admin"
        " isadmin price "
        "amount admin uid account principal",
        regex=r"\b\w*(?:user|account|owner|tenant|customer|principal|uid|role|is_?admin|price|amount)\w*[\"']?\]?\s*"
        r"(?::=|=|:)\s*"
        r"[^=].*(?:\breq\b|request|r\.url|r\.form|params|query|\bbody\b|payload|\bform\b|headers?\b|cookies?\b"
        r"|\$_|formvalue)",
    ),
    sign(
        "entities-and-parsers",
        "security",
        7,
        "a parser is set up in a way that outsiders can abuse",
        "documentbuilderfactory saxparserfactory xmlreader resolve_entities xmlparser noent libxml_disable_entity"
        "_loader "
        "dtdprocessing lxml etree xmlinputfactory transformerfactory sax_parser xml expand_entities minidom parse "
        "saxreader external_general_entities huge_tree loadxml simplexml_load_string",
        regex=r"documentbuilderfactory|saxparserfactory|resolve_entities\s*=\s*true|\bnoent\b|disable_entity_loader\(\s*"
        r"false|"
        r"dtdprocessing\.parse|xmlinputfactory|saxbuilder|saxreader|huge_tree\s*=\s*true|no_network\s*=\s*false"
        r"|libxml_noent|"
        r"xml\.(?:sax|dom|etree)\S*\.?parse(?:string)?\(|lxml\.etree|etree\.(?:parse|fromstring)\(",
        unless=r"defusedxml",
    ),
    sign(
        "secret-compared-or-logged",
        "security",
        6,
        "a secret is compared in leaking time, logged or put into a URL",
        "token signature hmac digest password secret api_key apikey authorization mac otp key hash credit"
        " card ssn credentials "
        "cookie session",
        regex=r"(?:token|signature|hmac|digest|secret|api_?key|\bmac|otp|sig|password)\w*(?:\(\))?\s*(?:===?"
        r"|!==?|\.equals\()\s*\w|"
        r"(?:log\w*\.\w+|logger\.\w+|print(?:ln|f)?|console\.\w+|puts|slog\.\w+|fmt\.print\w*|log\.print\w*"
        r"|system\.out\.\w+|info|debug|nslog)[!\s]*"
        r"\(?.*(?:password|passwd|secret|token|api_?key|authorization|credential|card_?number|cvv|\bssn\b"
        r"|private_?key)|"
        r"[?&](?:token|password|api_?key|secret|access_token)=",
        places=signs.ALL,
        unless=r"token_count|max_tokens|tokens_used|len\(|===?\s*(?:none|null|undefined|[\"']{2}|true|false|nil)"
        r"|token\.type|tokenize",
    ),
    sign(
        "memory-unsafe",
        "security",
        7,
        "memory is handled by hand",
        "strcpy strcat sprintf gets scanf memcpy memmove alloca strncpy vsprintf system unsafe transmute"
        " from_raw_parts "
        "free malloc realloc get_unchecked unsafepointer reinterpret_cast printf set_len unchecked sscanf strtok buf",
        regex=r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|alloca|stpcpy)\s*\(|scanf\s*\([^)]*%s|\bmem(?:cpy|move)\s*\("
        r"|\bunsafe\s*(?:\{|fn|impl)|transmute|"
        r"from_raw_parts|get_unchecked|\bfree\s*\(|\bmalloc\s*\([^)]*\*|printf\s*\(\s*[a-z_]\w*\s*\)|unsafe"
        r"(?:mutable)?(?:raw)?pointer|"
        r"\bset_len\(|char\s+\w+\[\d+\]",
        languages="c cpp rust swift csharp go objective-c",
    ),
    sign(
        "new-entrance",
        "security",
        4,
        "a new route or handler takes outside data",
        "route get post put delete patch requestmapping getmapping postmapping deletemapping putmapping handlefunc "
        "httpget httppost api_view path handle apirouter controller app router upload multer webhook websocket on",
        regex=r"@(?:\w+\.)?(?:route|get|post|put|patch|delete|websocket|api_view|action)\(|(?:app|router|server"
        r"|api|r|mux|e|g|fastify)\."
        r"(?:get|post|put|patch|delete|all|use|handle|handlefunc|route)\(\s*[\"'`/]|@(?:request|get|post"
        r"|put|delete|patch)mapping|\[http(?:get|post|put|"
        r"delete|patch)|route::(?:get|post|put|delete|any|resource)|^\s*(?:get|post|put|patch|delete|resources?)\s"
        r"+[:\"']|multer\(|\bre_?path\(|"
        r"mapget\(|mappost\(|#\[(?:get|post|put|delete)\(",
    ),
    sign(
        "reads-the-caller",
        "security",
        3,
        "values of the caller are used",
        "request req params body query $_get $_post $_request formvalue getparameter form args cookies"
        " headers argv input $_files $_cookie $_server",
        regex=r"req(?:uest)?\.(?:args|form|json|body|query|params|get|post|cookies|headers|files|data|values"
        r"|query_params)|\bparams\[|"
        r"\$_(?:get|post|request|cookie|files)|formvalue\(|getparameter\(|r\.url\.query|event\[[\"']?body"
        r"|@requestparam|@requestbody|@pathvariable|c\.param\(|c\.query\(",
    ),
    sign(
        "identity-code",
        "security",
        4,
        "code of sign-in, rights, sessions or secrets",
        "password authenticate authorization authenticated login logout jwt oauth session_token csrf permissions"
        " bcrypt "
        "hash_password verify_password access_token refresh_token set_password reset_token otp totp mfa"
        " saml oidc samesite "
        "impersonate sudo is_admin isadmin is_superuser is_staff role roles encrypt decrypt hmac",
        places=signs.RUNS,
    ),
)
