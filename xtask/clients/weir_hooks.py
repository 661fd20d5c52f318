"""What the proxy is told: whom a key is, and where its log stands."""

import json
import os

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth


async def who(request, api_key: str) -> UserAPIKeyAuth:
    """Every key is somebody's."""
    return UserAPIKeyAuth(api_key=api_key)


class Log(CustomLogger):
    """A line a request, as LiteLLM gives it to whoever keeps logs."""

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        with open(os.environ["LITELLM_LOG_FILE"], "a", encoding="utf-8") as log:
            log.write(json.dumps(kwargs["standard_logging_object"], default=str) + "\n")


log = Log()
