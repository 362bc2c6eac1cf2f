import random, asyncio, time, os, sys
import pytest
import numpy as np
sys.path.insert(0,'/work/wt/revB/tests/faults')
import test_large_models as T
from test_large_models import sent, plan, weights_of
from relay import Relay
SEED=int(os.environ.get('SEED','0'))
@pytest.mark.parametrize('nth', range(int(os.environ.get('N','60'))))
async def test_fuzz_resumed(sent, nth):
    rng=random.Random(SEED*1000+nth)
    number=100+nth%100
    behind, front = f"127.{number}.0.1", f"127.{number}.0.2"
    async with Relay(behind, front) as relay:
        def kut():
            if rng.random()<.5: relay.cut()
            else: asyncio.get_running_loop().call_later(rng.random()*.05, relay.cut)
        cuts={}
        for _ in range(rng.choice([1,2,2,3,4])):
            who=rng.choice(['coordinator','c0','c1']); n=rng.randint(1,100 if who=='coordinator' else 20)
            cuts[who,n]=kut
        sent.at=cuts
        # starve: block the loop now and then
        async def starve():
            while True:
                await asyncio.sleep(rng.random()*.2)
                if rng.random()<.3: time.sleep(rng.random()*.3)
        t=asyncio.create_task(starve())
        try:
            async with asyncio.timeout(9):
                final,*copies=await weights_of(plan(bind=behind, advertise=front))
        except BaseException as error:
            print('CUTS', list(cuts), repr(error)[:300], file=sys.stderr); raise
        finally:
            t.cancel()
    assert all(np.array_equal(c, final) for c in copies), list(cuts)
