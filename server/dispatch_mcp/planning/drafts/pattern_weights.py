"""How much the beginning of a word speaks for each pattern: fitted to labelled requests.

Written by `scripts/fit_patterns.py`; do not edit by hand. An entry is a feature and a letter for each
pattern, in the order of `classifier.NAMES`; `ZERO` and `STEP` there say what a letter means.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
:rrhkmj #code:ziiini #colon:kqikmq #comma:duklsj #commas:fskhhz #count:knmhwi #question:pzgkii #sentences:irrnhj
#short:smeatt 12:knllql 3:plmmkm 404:rlllml 50:qkllmm a:rimjit abou:oojqkj acco:njltkl acro:knkjju add:jcmtoq
admi:kknopj advi:kllsmk afte:mjwijm agen:kklrnl all:dkjgyu alle:klmmqm an:nnkljq anal:korlim and:amuazp any:kpmlmm
anyt:lqlolj api:hmqmqk app:ipinnq are:jtnljm as:illqqk ask:lkktll ask-:llllql at:krnljl audi:ijpphs auth:jmnllq
aws:llmlmp back:oomjnk bang:mlqlll bao:nommjn be:oqohkk befo:inunjj bi:mplllm bo:lmlkmq borr:lllqll both:kkniwk
brin:kmlmlq budg:pllnll bug:qkolkk buil:lfnshr bump:kmmlql ca:jkllsn cach:lmhxil calc:sljmkl call:jlrnjn can:koqljn
cata:lllrlm cau:rkllml caus:ksmlkk char:nlqklm chat:lllqlm chin:lllllr cho:lhlqpm chua:lpknll chur:pnkmll
chuy:llknmp ci:kkllls clas:oknkpk clie:mkmrlk code:jqpjmk coll:klnllr colu:nmqlkk comm:jmlpom comp:kohjjx
conf:skmklm conn:krjllo cons:jpjpln conv:mkiprj copy:nlmkpk corr:qkplkk cost:knktmi coun:pmlnkl cras:rkmmkm
crea:khnqnn crm:kmnplk crud:mllmqk csv:qlokmk cua:klltll curr:qnlkmk cust:lojlqm dang:njkrll danh:qmlnkl dans:klllpo
data:grpnho date:kkmsnj dau:lpllln db:krnkml de:pfsjpk depe:jqpnkk depl:knpnjn depr:qkllok deri:lmqlml des:jkuknk
desc:lqmmll desi:kkrlko diag:lmpmlm die:mkpknm dien:njmlks disp:qlmlll do:mmvkii dock:pmnlkl docs:ojklqn does:nljtkk
doi:llmpml done:kopnkk draf:llrkll du:mmpmkk dung:jklnls duri:krlmll e:kkrkol e-co:klmmks each:grmhwh edit:lllpjo
ein:llmllq el:lmpnlk em:klnlql empt:pllllm en:njkrml encr:lkjrkp end-:mllmkq endp:kkqlsh enti:jmlmjt esqu:lmpllm
et:lkllnq even:qlnjkm ever:enghys expe:kljslm expl:lpjplk expo:jlnlrk fail:lqwjgj feat:kkkpmp file:pkomlk
find:kotmhj fini:kqmmlm five:lmkmrl fix:uirhkj flag:plmmll fold:olmkpl foll:lkopll form:rikslj from:goqsfn
full:klllkt func:rkklpk gate:lnipqj gene:lirlqk gion:mmlpll go:lkqjpk goi:kpolll gom:mlmmlp hace:pllmll ham:qlmmlm
hand:lmlrnj have:jokqml hay:mpllll he:nmkkkq head:jkllvk heat:lnlqmk help:lmnqjl hinh:lkqlol hoan:llmllp hoi:ollpll
hour:lrllll how:jrgyhj icon:mlplll imag:qmojjl impl:gcrzin impo:jmlvli in:okform incl:lkllkt infr:mqllhp inte:jlmjor
into:jlskln intr:kjllkv inve:mrrlhi invo:kkqonk ios:klmnql is:qullgj issu:krmmmk it:mhziel item:plllmm job:ojjsll
jobs:kqmlpj json:jmomqk key:lllqkm khi:kqlokl know:kmkskm lai:qkmmkl lam:kkrqjk larg:lpkmln last:nsmlki late:lsllkm
le:nllqjn lent:lrmmkk les:klkqpj lieu:jnpnll like:lkkulk limi:pjlmmn livr:lkllnq load:mrllll loca:llmlrl log:ljrmnk
logo:njllrl logs:komkql loi:qnnkkk look:nviohj loop:plmmkm mail:nklqjo make:lioopk mana:mllmlq mat:opmljl mau:kmmqlm
me:mrklll memo:nqllkl micr:hkkltp midd:llllsl migr:ilpljt mode:jjomks modu:ngkpql mone:nlklpl moni:mmmmjq
mono:jlllmr mult:lllmkq my:sjllmm name:vljlkk nami:mljrlm nang:llmpnl need:illspi neve:krlmll new:dfoovp nigh:lrllll
no:sljkln node:mmklqk not:qlllmm numb:lqlmjm o:omqmli obse:jllplp of:pqjknj old:lmrkkm on:rjloni one:lklsoj
open:kpkmnl opin:lmkqmm opti:mooloi or:lqllml orde:nmnmoj os:lmlmql othe:lplpjm our:lrgkjt out:hprmin outp:kmqllm
over:juojkk pack:jkkktn page:okpkoj pagi:qkkoll pago:jltllm paie:lkllnq pars:ooojmk part:lklqjo paym:kmqlll
perf:mvkkgm perm:lllllr pham:llklnq plac:kpllkp plat:hijmiz plea:splikj por:lpllln port:llklpo pric:lnlrkk
prod:jljkmu prof:kknmql prog:kljnpp proj:ksklml prom:llpknl prov:krlliq puis:klqnll put:klmkrn que:lplnkl
quer:pmnlkl queu:kpkqkl quic:pkjpmm rat:lqllll reac:llqjlo read:ojpirj real:klmllq reas:lrllll reco:knqmin
redi:qnmklj repo:jnnmom requ:lslkni rese:mskllk rest:mlkkpo resu:mlqmll retr:njopni retu:sknklk reve:lnplll
ro:lqmlll roi:kkrolk role:llmllq roll:llkknr root:kqnmll s3:olllpj sach:rknlkl same:kjjprl san:llklnq sau:lkslll
scan:pkpjkm sche:ljripl scor:pnjnll scre:pjkkql scri:skjlmm sear:qklolk secr:lrlkjn secu:ipnrkk seit:lqmlll
sens:mlkpmm serv:cnprnm sett:mklqkn shar:klknsl shop:hmjlps shou:niqmoj simi:lmlrll site:lnjjop slow:jspkkk
sms:lklrkm so:rlljko solv:lllqmm some:msllkk sort:tmjlll spen:mpkmml sre:mljrlm stac:iolnkp star:lnpimm stat:jlpmmn
stor:jklohv sua:tinlkl summ:mlpmlm supp:kpjjpn swap:llmkql swif:olllpk swit:lkmokp syst:fojmgz tabl:qkskjj
take:lsknjk tao:llplll team:ilkwkm tell:lqjoll test:pimipo text:pllmnk than:lqklml that:smuhek the:vgrrgg
them:hfzqjk then:jfzohl theo:jlkokr ther:lqmmmk thi:lkslll thon:nmnjkq thos:mlqlkl thre:isomjk thu:lkpmln
time:msimkl to:mhilps toan:jokkls top:llqmlm topi:mlpmll tra:opllkl trac:mlktim traf:kpmmmm trai:qmmknj tran:tipklj
tren:pomklk trie:llmlkr tu:jkplkr twic:qlmlll ui:jlpojo um:oklplk und:ljppll undo:kmlqll ung:lnlllp unit:tjkkoj
up:nknjlq upda:okqlmj uplo:qnlmkk usag:lqlmmk use:jkkukm user:lpkkrk usin:lmmpkl va:klmgwm vao:lmqnkk vers:ljplpm
viet:liprlk want:imlpno ware:lqllok warn:pkmlnl waru:lqmlll way:jllull we:jvfmhr web:jnimsm webs:knnljq well:klkktl
what:jqpoik when:qrmikj wher:lukllj whic:lmnqjk whol:jmkjjw why:numjji widg:jllpqj wire:lmpkmm with:mjjpgv
woul:krjoll writ:lgpuof wron:tljkll xay:lklmlr xong:lktkkl y:impqlk you:nknrjk
"""
