"""The refusals of AWS that are final: the same call meets them again. Whatever is not named here passes.

Of botocore's models those errors of the calls we make that no second try mends; of S3, whose errors botocore
hardly models, those of its API reference. AWS answers what passes with HTTP 400 as readily as with 500, and
invents new names for it; to try once more what was final costs a little time, to give up what would have
passed costs the run.
"""

from __future__ import annotations

# Credentials or permissions: what to mend is not in the call.
ACCESS = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IDPRejectedClaim",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSecurity",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "NotSignedUp",
        "OptInRequired",
        "RegionDisabledException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
        "UnauthorizedAccessError",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)

# What every service may say of a call that is not well made ("Common error types", read 2026-11).
_COMMON = frozenset(
    {
        "InvalidAction",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidQueryParameter",
        "MalformedHttpRequestException",
        "MalformedQueryString",
        "MissingAction",
        "MissingParameter",
        "RequestEntityTooLargeException",
        "SerializationException",
        "UnknownOperationException",
        "UnsupportedOperation",
        "UnsupportedOperationException",
        "ValidationError",
        "ValidationException",
    }
)

FINAL: dict[str, frozenset[str]] = {
    "every service": ACCESS | _COMMON,
    "athena": frozenset({"InvalidRequestException", "MetadataException", "ResourceNotFoundException"}),
    "glue": frozenset(
        {
            "AlreadyExistsException",
            "EntityNotFoundException",
            "FederatedResourceAlreadyExistsException",
            "FederationSourceException",
            "InvalidInputException",
            "InvalidStateException",
            "OperationNotSupportedException",
            "PermissionTypeMismatchException",
            "ResourceNotFoundException",
            "ResourceNumberLimitExceededException",
            "VersionMismatchException",
        }
    ),
    "iam": frozenset(
        {
            "DeleteConflict",
            "EntityAlreadyExists",
            "InvalidInput",
            "LimitExceeded",
            "MalformedPolicyDocument",
            "NoSuchEntity",
            "PolicyNotAttachable",
            "UnmodifiableEntity",
        }
    ),
    "sts": frozenset({"MalformedPolicyDocument", "PackedPolicyTooLarge"}),
    "kms": frozenset(
        {
            "DisabledException",
            "InvalidArnException",
            "InvalidKeyUsageException",
            "KMSInvalidStateException",
            "NotFoundException",
        }
    ),
    # S3 API reference, "List of error codes", read 2026-11. A HEAD has no body, and its status for a name.
    "s3": frozenset(
        {
            "301",
            "304",
            "400",
            "404",
            "405",
            "412",
            "416",
            "AuthorizationHeaderMalformed",
            "AuthorizationQueryParametersError",
            "BucketAlreadyExists",
            "BucketAlreadyOwnedByYou",
            "BucketHasAccessPointsAttached",
            "BucketNotEmpty",
            "CredentialsNotSupported",
            "EncryptionTypeMismatch",
            "EntityTooLarge",
            "EntityTooSmall",
            "IllegalLocationConstraintException",
            "IllegalVersioningConfigurationException",
            "IncorrectEndpoint",
            "InvalidAddressingHeader",
            "InvalidArgument",
            "InvalidBucketName",
            "InvalidBucketOwnerAWSAccountID",
            "InvalidBucketState",
            "InvalidEncryptionAlgorithmError",
            "InvalidLocationConstraint",
            "InvalidObjectState",
            "InvalidPart",
            "InvalidPartOrder",
            "InvalidPayer",
            "InvalidPrefix",
            "InvalidRange",
            "InvalidRegion",
            "InvalidRequest",
            "InvalidStorageClass",
            "InvalidTag",
            "InvalidURI",
            "InvalidWriteOffset",
            "KMS.DisabledException",
            "KMS.InvalidArnException",
            "KMS.InvalidKeyUsageException",
            "KMS.KMSInvalidStateException",
            "KMS.NotFoundException",
            "KeyTooLongError",
            "MalformedXML",
            "MetadataTooLarge",
            "MethodNotAllowed",
            "MissingContentLength",
            "MissingSecurityHeader",
            "NoSuchBucket",
            "NoSuchBucketPolicy",
            "NoSuchKey",
            "NoSuchLifecycleConfiguration",
            "NoSuchPublicAccessBlockConfiguration",
            "NoSuchTagSet",
            "NoSuchTagSetError",
            "NoSuchUpload",
            "NoSuchVersion",
            "NotImplemented",
            "ObjectNotInActiveTierError",
            "NotModified",
            "PermanentRedirect",
            "PreconditionFailed",
            "ServerSideEncryptionConfigurationNotFoundError",
            "TooManyBuckets",
            "TooManyParts",
            "UnexpectedContent",
            "UnsupportedArgument",
            "UnsupportedSignature",
        }
    ),
}

# ClientError does not say which service answered. No name means both, which a test holds.
ALL_FINAL = frozenset[str]().union(*FINAL.values())
