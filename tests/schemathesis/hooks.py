"""Signs what Schemathesis sends, for the API of the stack that the environment names."""

import os
from urllib.parse import urlsplit

import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

SESSION = Session()
REGION = os.environ["AWS_REGION"]


def api_host() -> str:
    """The host of the stack's API, from the stack's outputs."""
    cloudformation = SESSION.create_client("cloudformation", region_name=REGION)
    [stack] = cloudformation.describe_stacks(StackName=os.environ["WAYBILL_STACK"])["Stacks"]
    [url] = [output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "ApiUrl"]
    return urlsplit(url).netloc


HOST = api_host()


def sign(request):
    """Adds Signature Version 4. The emulator tells APIs by the Host header."""
    parts = urlsplit(request.url)
    url = parts._replace(scheme="https", netloc=HOST).geturl()
    signed = AWSRequest(method=request.method, url=url, data=request.body or b"")
    SigV4Auth(SESSION.get_credentials(), "execute-api", REGION).add_auth(signed)
    request.headers.update(dict(signed.headers), Host=HOST)
    return request


@schemathesis.hook
def before_call(_context, _case, kwargs):
    kwargs["auth"] = sign
