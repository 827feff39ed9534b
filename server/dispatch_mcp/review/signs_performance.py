"""Signs that a change touches how long things take and how much they hold."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.review import signs
from dispatch_mcp.review.signs import Sign, sign

_QUERY = (
    r"\.objects\b|\.query\(|\bquery\.\w+\(|session\.(?:query|execute|get|scalars?)\(|cursor\.execute"
    r"|\bdb\.\w+|\.find(?:one|all|many|unique|first|_by|byid|bypk|"
    r"by\w+)?\(|\.where\(|\.first\(|\.fetch\w*\(|\.queryrow|\.exec(?:ute)?\(|repo(?:sitory)?\w*\.\w+\("
    r"|\.load\(|\bselect\b.+\bfrom\b|axios|requests\.\w+\(|"
    r"\bfetch\(|http\.get|httpx\.|client\.(?:get|post|send|call|fetch|query|request)\w*\(|api\.\w+\("
    r"|\.get_by\w*\(|\.getby\w+\(|dao\.|_set\.\w+\(|\.save\(|\.insert\w*\(|"
    r"\.update(?:one)?\(|\.create\(|\.delete\(|\.count\(|\.exists\(|redis\.\w+\(|cache\.get\(|\.aggregate\("
    r"|service\.\w*(?:get|find|load|fetch|lookup)\w*\(|"
    r"\bget_\w+\(|\b(?:load|fetch|find|lookup)[_a-z]*\(|\.include\?|\.reload|prisma\.|knex|\.pluck\("
    r"|\.all\b|urlopen|s3\.\w+\(|stub\.\w+\(|\.scan\(|queryForObject|\.prepare\("
)
QUERY: Final = signs.lowered(_QUERY)
"""A call that leaves the process, in lower case: a database, a cache, a service."""

PERFORMANCE: Final[tuple[Sign, ...]] = (
    sign(
        "everything-loaded",
        "performance",
        6,
        "everything is read at once, without a limit",
        "all fetchall findall readlines read tolist findmany toarray readall select iterator list listall scan find "
        "read_csv read_text getall load all() readallbytes readallines fetch_all collect file_get_contents listobjects "
        "readall keys everything getallusers fetch_all selectall readfile readtext load_all toset tojson"
        " listfiles data entire find_all allrows queryset values",
        regex=r"\.(?:getall|fetch_?all|find_?all|list_?all|read_?all|load_?all|select_?all)\w*\(|list\(\w+\."
        r"(?:all|query|find)\w*\(|\.tolist\(\)|\.tolistasync\(\)|->get\(\)|::all\(\)|\.read\(\)\.split"
        r"|json\.load\(|\.objects\.all\(\)|\.fetchall\(|\.readlines\(|\bselect\s+\*|\.findall\(\s*\)|\.findmany\("
        r"\s*"
        r"(?:\{\s*\}|\))|\.tolist\(\)|io(?:util)?\.readall|"
        r"\.query\.all\(|query\(\w+\)\.all\(|\.\w+\.all\b(?!\()|\.getall\w*\(|\.toarray\(\s*\)|\.find\(\s*"
        r"(?:\{\s*\})?\s*\)|readall(?:bytes|lines|text)|"
        r"\.fetch_all\(|list\(\s*\w+\.objects|\.keys\(\s*[\"']\*|keys \*|\.collect::<vec|\.all\(\)(?!\s*\[:)"
        r"|=\s*\w+\.read\(\)|pd\.read_\w+\((?!.*chunksize)|"
        r"scan\(\s*\{|file\.readtext|slurp",
        places=signs.CODE,
        unless=r"limit|paginat|\[:\d+\]|take\b|first\(|promise\.all|chunk|matchall|re\.findall|queryselectorall"
        r"|itertools|^\s*(?://|#|\*)",
    ),
    sign(
        "limit-removed",
        "performance",
        8,
        "a limit, page, batch or timeout is taken away",
        "limit paginate paginated page page_size per_page offset take top chunk chunk_size batch batch_size"
        " timeout iterator "
        "skip find_each in_batches first chunksize pagination pagesize fetchsize max_results setfetchsize"
        " deadline buffered stream limit max cap top slice fetch_size perpage pagesize setmaxresults ratelimiter"
        " semaphore debounce throttle",
        regex=r"setmaxresults|\bslice\(0|\btop\s+\d|semaphore|debounce|throttle|\bmax_?\w*\s*=|\bperpage\b|\bcontext\.wi"
        r"thtimeout|settimeout\(|\bpool\b|iterator|fetchmany|yield\b|chunked|lazy|\blimit\b|paginat\w+"
        r"|page_?size|per_page|\.take\(|chunk_?size|batch_?size|\btimeout\w*\s*[=:"
        r"(]|find_each|in_batches|\.iterator\(|"
        r"max_results|fetchsize|\[:\d+\]|\.first\(\d+|withtimeout|deadline|\.skip\(|\.stream\(|bulk_create|\.batch\(",
        side="removed",
        places=signs.CODE,
    ),
    sign(
        "cache-removed",
        "performance",
        8,
        "a cache, index or prefetch is taken away",
        "lru_cache cached cache memo memoize usememo usecallback cacheable prefetch_related select_related"
        " includes joinedload "
        "selectinload index db_index add_index preload eager_load eager include remember cached_property"
        " unstable_cache "
        "with dataloader fetchtype purecomponent functools memory_cache redis indexed create_index unique"
        " hashmap map set dict lookup memo lru memoized pool reuse shared singleton cachedresponse batch"
        " bulk all_in_one prepared compiled gather concurrent parallel once static with entitygraph fetch"
        " batchsize subselect",
        regex=r"\w*find\w*with\w+|join\s+fetch|entitygraph|batchsize|\w+with(?:lines|items|details|relations"
        r"|all)\w*\(|promise\.all|gather\(|executemany|bulk_\w+|insert_many|insertmany|\.batch\w*\(|\bset\("
        r"|tomap\("
        r"|hashset|hashmap|new (?:map|set)\(|groupby|lookup\b|sync\.once|sync\.pool|re\.compile|regexp\.mustcompil"
        r"e|static final pattern|lazy_static|once_cell|\bpool\.(?:get|acquire)|parallel|async|lru_cache"
        r"|@\w*cache\w*|cache\.(?:get|set|fetch|remember|has|put)|cached_property|\bmemo(?:ize)?\b"
        r"|use(?:memo|callback)|prefetch_related|"
        r"select_related|\.includes\(|joinedload|selectinload|db_index\s*=\s*true|index\s*[=:]\s*true|add_index"
        r"|create\s+(?:unique\s+)?index|preload|eager_?load|"
        r"\.include\(|dataloader|rails\.cache|@index|purecomponent|\.with\(\[|fetchtype\.eager|\binclude\s*:",
        side="removed",
        places=("code", "config"),
    ),
    sign(
        "index-dropped",
        "performance",
        8,
        "an index goes, or a query cannot use one",
        "index drop_index remove_index removeindex dropindex like order rand random offset lower upper"
        " not_in date year having "
        "distinct cross cast ilike iregex icontains regexp db_index substring extract concat",
        regex=r"drop\s+index|drop_index|remove_?index|like\s+(?:concat\()?[\"']?\s*%|like\s+[\"']%|order\s+by\s+"
        r"(?:rand|random|newid)\(|order_by\([\"']\?[\"']\)|"
        r"\boffset\s+[:$?%\d]|where\s+(?:lower|upper|date|year|month|cast|substr\w*|trim|extract|concat)\("
        r"|not\s+in\s*\(\s*select|cross\s+join|__icontains|__iregex|"
        r"ilike\s+[\"'%:$]|select\s+distinct|\.order\([\"']random|orderbyraw\([\"']rand|from\s+\w+\s*,\s*\w+\s*"
        r"(?:where|$)|\bor\b.+\blike\b",
        places=("code", "config", "test"),
    ),
    sign(
        "waits-for-nothing",
        "performance",
        7,
        "something blocks where others wait",
        "sleep readfilesync writefilesync execsync existssync thread result wait block_on pbkdf2sync synchronized "
        "runblocking rununtilcomplete statsync readdirsync gethostbyname spawnsync hashsync comparesync"
        " lock scryptsync "
        "getawaiter rwlock mutex blocking run_until_complete busy requests time",
        regex=r"\b\w+sync\(|time\.sleep\(|thread\.sleep\(|\.result\b(?!s)\s*;|\.wait\(\)|block_on\(|synchronized\s*\("
        r"|synchronized\s+\w+\s+\w+|runblocking|"
        r"getawaiter\(\)\.getresult|run_until_complete|usleep\(|sleep\(\d|std::thread::sleep|task\.(?:wait"
        r"|result)|select\(\)\s*\{|"
        r"while\s*\(?\s*(?:true|1|!\w+)\s*\)?\s*[{:]?\s*(?:pass|;|\})",
        places=signs.CODE,
        unless=r"asyncio\.sleep|await|async_?sync|fsync|rsync\(|datasync",
    ),
    sign(
        "costly-step",
        "performance",
        6,
        "a step that grows faster than its input, or copies much",
        "deepcopy index indexof includes insert shift unshift splice concat reduce sort sorted count stringify"
        " parse find "
        "findindex contains in regex match recursive remove filter substring append cartesian product"
        " permutations combinations "
        "clone nested slice pop some every iterrows apply vstack to_vec cloned in_array array_search array_merge"
        " spread nested quadratic sumof regex backtrack pow matrix exponential recursion recursive levenshtein"
        " findindex lastindexof filter rev reverse tostring stringbuilder join memcpy collect",
        regex=r"\bo\(n\^?2\)|\.filter\([^)]*=>[^)]*\)\[0\]|\.find(?:index)?\(.*=>.*\)|\.any\(.*=>|\.first(?:ordefault)?"
        r"\(.*=>|return \w+\(\w+\s*-\s*1\)\s*[+*]\s*\w+\(|\+=\s*str\(|sum\(\[|\.sort\(.*\)\s*\[0\]|sorted\(.*\)\[0"
        r"\]|deepcopy\(|json\.parse\(\s*json\.stringify|clonedeep|\[\s*\.\.\.acc|\{\s*\.\.\.acc|\.reduce\(.*"
        r"(?:concat|\.\.\.)|\.insert\(\s*0\s*,|\.unshift\(|\.pop\(0\)|"
        r"iterrows\(|\.apply\(.*axis\s*=\s*1|in_array\(|array_search\(|array_merge\(|\.filter\(.*\.(?:filter"
        r"|find|some|includes|indexof|every)\(|"
        r"\.map\(.*\.(?:find|filter|indexof)\(|permutations\(|product\(.*repeat|np\.(?:append|vstack|concatenate)"
        r"\(|pd\.concat\(|df\.append\(|\.clone\(\)|"
        r"\.index\(\w+\)|if\s+\w+\s+(?:not\s+)?in\s+\w*(?:list|seen|result|found|visited)\w*\s*:|\.contains\(.*\)"
        r"\s*\)\s*\{?$|fib\w*\(\w+\s*-\s*1\)|\(n\s*-\s*1\)\s*\+\s*\w+\(n\s*-\s*2\)|"
        r"\(\.[*+]\)[*+]|\(\w\+\)\+|\(\[?[^)\]]+\]?[+*]\)[+*]",
        places=signs.CODE,
    ),
    sign(
        "grows-for-ever",
        "performance",
        6,
        "something grows, or opens, with nothing that ends it",
        "cache map dict list setinterval addeventlistener goroutine go newcachedthreadpool executor connect"
        " pool client "
        "listeners subscribe history buffer promise thread create_connection mongoclient createconnection"
        " newclient global "
        "static handlers executorservice newfixedthreadpool max_connections open on weakmap arraylist"
        " hashmap sql channel engine "
        "session create_engine append push queue concurrenthashmap memo timeout leak retain arraydeque"
        " putifabsent unboundedchannel linkedblockingqueue bytearrayoutputstream subscribe eventemitter"
        " setmaxlisteners on finalizer close defer newticker tick dispose",
        regex=r"linkedblockingqueue\(\)|unbounded_channel|new concurrent\w+|time\.tick\(|\.subscribe\(|\.on\([\"']"
        r"|executors\.new\w+|max_?workers\s*=\s*none|processpool|threadpoolexecutor\(\)|^\s*(?:static\s+"
        r"|global\s+|export\s+|private\s+|public\s+|final\s+|var\s+|const\s+|let\s+|self\."
        r"|this\.)*_?\w*(?:cache|memo|seen|history|registry|sessions|"
        r"buffer|visited)\w*\s*(?::[^=]+)?(?::?=)\s*(?:\{\}|\[\]|new (?:map|set|hashmap|arraylist|dictionary"
        r"|concurrent\w+)|dict\(|list\(|make\(map|defaultdict)|lru_cache\(maxsize\s*=\s*none|"
        r"setinterval\(|addeventlistener\(|\bgo func\b|newcachedthreadpool|promise\.all\(\s*\w+\.map|new"
        r" thread\(|threading\.thread\(|maxsize\s*=\s*(?:none|0)\b|"
        r"timeout\s*[=:]\s*(?:none|0|null|-1)\b|max_connections\s*[=:]|pool_?size\s*[=:]\s*\d|unbounded"
        r"|gather\(\s*\*\s*\[|make\(chan|create_engine\(|new httpclient\(|"
        r"mongoclient\(|createconnection\(|sql\.open\(|boto3\.client\(|redis\.(?:redis|client)\(|lazy_static"
        r"|static mut",
        places=signs.CODE,
    ),
    sign(
        "renders-often",
        "performance",
        6,
        "a component renders or computes more often than it must",
        "useeffect usestate key style onclick usecontext value render setstate usememo memo math lodash moment sort",
        regex=r"key=\{\s*math\.random|key=\{\s*(?:uuid|nanoid|index)|value=\{\{|style=\{\{.*\bmap|useeffect\(\s*\(\)\s*="
        r">\s*\{?[^\]]*\}\s*\)\s*;?\s*$|"
        r"import\s+(?:_|lodash|moment|\*\s+as\s+_)\s+from\s+[\"'](?:lodash|moment)[\"']|changedetection"
        r"|\{\s*\w+\.(?:filter|sort|map)\(.*\)\.(?:map|sort|filter)\(",
        languages="javascript typescript",
    ),
    sign(
        "weight-of-work",
        "performance",
        4,
        "code about speed, caches, batches or concurrency",
        "performance latency throughput slow optimize optimise cache memoize batch bulk concurrency parallel goroutine "
        "threadpool semaphore prefetch_related select_related n_plus_one eager_load hotpath benchmark profile debounce "
        "throttle lru prefetch pagination buffer_size",
    ),
)
