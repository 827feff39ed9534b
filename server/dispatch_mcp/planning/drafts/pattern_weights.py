"""How much the beginning of a word speaks for each pattern: fitted to labelled requests.

Written by `scripts/fit_patterns.py`; do not edit by hand. An entry is a feature and a letter for each
pattern, in the order of `classifier.NAMES`; `ZERO` and `STEP` there say what a letter means.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
:uramnl #code:ziijmi #colon:lpjllp #comma:jtimpj #commas:irkiez #count:komhwi #list:fscczs #pair:oklisk
#question:ozgkii #sentences:mqnnij #short:rmhass #steps:bnzngj 12:knmlql 16:mllmpl 3:plmmkm 404:qlllml 50:qkmlmm
a:rhljit abou:oojqjj acco:njktkl acro:kolkit add:jclspq advi:kllsmk afte:mjuikm agen:kklrnl all:dkigzu alle:klmmqm
an:nnlkjp anal:loqkjm and:dlrazp andr:mmjnpk any:kpmlmm anyt:lqkolj api:ilqlqk app:iojolp are:jtnljm as:jllqpl
ask:llksll ask-:lmmlpl at:jrolkl audi:ijopis auth:jmnmkq aws:llmlmp bad:lpllmm bang:mlplml be:prnhlk befo:hnvnji
bi:mplllm bo:lmmkmq borr:lllqll both:kkmixk brin:kmmmlq budg:plmnll bug:plolkk buil:lfmrjr bump:kmmlql butt:nlplml
ca:jklltn cach:lmhwjl calc:slkmkl call:jlrnjn can:knpkkn cata:lllqlm cau:rkllml caus:lsmllk chan:nmpjll char:nlqkmm
chat:mlkqlm chin:llmllr cho:lhlrom chua:lpknll chur:qnkmkl ci:kkllls clas:pklkqk clie:mkorkj code:kpqjmk coll:klnllr
colu:nmplll comm:jmlqnl comp:koikjw conf:rkmklm conn:krkllo cons:jpkqjn conv:lkjprj copy:nlmkpk corr:qkolkl
cost:kmktmi coun:pmlnkl cras:pknlkm crea:kioqmn crm:kmnplk crud:mlmmpk csv:plokmk cua:klltll curr:qnlkmk dang:njkqml
danh:qmkmkl data:hronho date:lkmsmj dau:lpklln db:lrmkml de:pfskok depe:kponkk depr:rjklok des:jkskok desc:lqmmll
desi:kkrlko dien:njmkks disp:qlmlll do:mmukjj docs:ojklpn docu:ljnmmp does:nlktkk doi:lllpnl done:knqnkj draf:mlqkmm
dung:jklnls duri:krlmll e:lkrknl e-co:klmmks each:grmhwi ein:llmllq em:klnlql empt:plmllm en:njkrml encr:lkjrkp
end-:mllmkq endp:jkqlsh engi:llnlkp enti:imlmkt et:kkmlnp even:rlnjkm ever:enghys expe:kljslm expl:lpjplk
expo:jlolrk fail:lqujhj feat:klkpmp find:lprmij fini:kpmmlm firs:lklnmp five:kmlmql fix:uirikk flag:plmmll
foll:llnplm form:qikrlj from:gopsgn full:klmljt func:rkklok gate:lmipqk gene:liqlqk gion:lmmpll go:mkpkpk gom:mllmlp
ham:qlmmlm hand:lmlqnj have:jojqnl hay:mqklml he:nmlkkq head:jkmlvk heat:lnlqmk help:lmmpkl hoan:llmllp hour:lrllll
how:jrfyhj hpsm:nnkplk imag:qmpjjk impl:gdrzin impo:jnjumj in:okfosm incl:lklllt infr:mqllhp inte:jlojmr into:jlqkln
intr:kjllkv inve:mrrlhi invo:kkronk ios:kllnql is:quklhj issu:krmmmk it:ohzhhm item:plllmm job:ojjsll jobs:kqmlpj
json:kmnmqk key:lllqlm khi:kqlnll know:kmkskm lai:qkmmll lam:lkqpkk land:llplmm larg:kpkmln last:msmlki late:lsllkm
le:nmkpjn lent:lrllll les:kllqpj like:lkkulk limi:pjlmmn livr:kkmlnp load:mrllll loca:llmlql log:ljqmnk logo:njmlql
logs:knnkpl loi:pnnkkk look:nviohj make:kiooqk mana:mklmlq mat:opllkl mau:kmlplm me:mrklll memo:npllkl metr:lllnpk
micr:hkllto midd:llmlql migr:ilpljt mode:kjnmks modu:nglpql moi:llnlpl mone:nlklql moni:mmlmkq mono:jlmlmr
mult:lllllr my:sjllmm name:vljlkl nami:mljrlm need:ilksqi neve:krmmll new:dfoovp nigh:lrllll no:rlkklo node:mmlmqk
not:plllmm numb:lqmmjm o:ompmlj obse:jllplp of:pqjkni old:lmqklm on:rjkoni one:mkkrpj open:kplmnl opin:lmkqmm
opti:monloi or:mpllll orde:nmnmoj os:kmmmql othe:lplpjm our:lqhkjt out:hpqmjn outp:lmqllm over:juojkk pack:jklltn
page:okpkoj pagi:pkloll pago:klrllm paie:kkmlnp pars:oonjmk part:lklqko paym:kmplmm perf:mwllgl perm:llllls
pham:llllmp plac:kpmljp plat:hijmjz plea:tpjilj por:lpklln pric:lnlrkk prod:jlkllu prof:kknlrl prog:kljnpo
proj:krllll prov:jrlljq put:kllkrn que:lplnll quer:qmmlkl queu:kpkqkl quic:pkjpmm rat:lqklll reac:lmpjlo read:ojojqj
real:klmllq reas:lrllll redi:qnmllj requ:mskknj rese:nskllk rest:mlkkqo resu:mlpmll retr:njnpoi retu:rkoklk
ro:lqllll roi:lkpoll role:llmllq roll:llklnq root:kqnmll s3:olllqj sach:rknlkl same:kjkqql san:llllmp sao:kpmmlm
sau:lkqlll scan:okqkkm sche:ljsipl scor:pnjnll scre:pjkkql scri:rkkmml sear:qklokk secr:lrlljn secu:iomrkk
seit:lqllll sens:mlkpmm serv:cnornn sett:nklpkn shar:klknsl shop:imilps shou:oiomok simi:lmmqll site:mnjjop
slow:jsokkk sms:mklqlm so:qlljlo solv:lllqmm some:msllkk sort:tmjlll spen:mpkmml sre:lljrlm stac:iolnlp star:lnqimm
stor:jklohv sua:tinlkl supp:lpkjpn swap:llmkql swif:olklpk swit:lklokq syst:fojmgz ta:mlplll tabl:qkrkkj take:lsknjk
team:ilkvkm tell:lqjoll test:pinipo text:pllmmk than:lqkmml that:rnuhfl the:ugrrgg them:hfypkk then:lfxnim
theo:jllokr ther:lqmmmk thi:lkskll thon:nmnjkq thos:mlplll thre:jtomjk tim:lpnlll time:msimkl to:miilps toan:knkkls
toda:lpmlkn trac:mlksim traf:kplmmm trai:qmmknj tran:tiollj tren:polklk trie:llmlkr truy:plmllm tu:jkplkr
twic:qlmlll type:mlnlkp ui:ilqojo und:ljopll undo:kmlqll ung:lnlllp unit:sjlloj up:nkmjmq upda:okqlmj uplo:qnlmkk
usag:lqlmmk use:jkjumn user:lplkqj usin:lmmpkl va:lllhum vers:ljqkom viet:liqqlj want:imlpmo ware:lqllnk warn:pklmnl
waru:lqllll way:jllull we:jvgmir web:jninrm webs:kmnmiq well:llklsl what:jroojk when:prmikj wher:lukllj whic:lnnpkk
whol:jmkjkw why:numjjj widg:jlmpqj with:mjlofu work:jmnoko woul:krkoll writ:lgpupg wron:tmjkll xay:lklllr
xong:lktkll y:jmoqml you:nknqkk
"""
